# The library leaves printing and the end of the process to the program that uses it: none of its
# objects refers to what does that, except check.cpp, which reports bugs.
execute_process(COMMAND ${NM} --print-file-name --undefined-only ${ARCHIVE}
  RESULT_VARIABLE result OUTPUT_VARIABLE symbols ERROR_VARIABLE errors)
if(NOT result EQUAL 0 OR NOT symbols MATCHES "dsv|_Z")
  message(FATAL_ERROR "nm ${ARCHIVE}: ${result} ${errors}")
endif()
set(forbidden "(__)?v?f?printf(_chk)?|f?puts|f?putc|putchar|perror|fwrite|stdout|stderr")
set(forbidden "${forbidden}|_ZSt4cout|_ZSt4cerr|_ZSt4clog|exit|_exit|_Exit|quick_exit|abort")
string(REPLACE "\n" ";" symbols "${symbols}")
list(FILTER symbols INCLUDE REGEX " U (${forbidden})$")
list(FILTER symbols EXCLUDE REGEX "[:/]check\\.cpp\\.o:")
if(symbols)
  list(JOIN symbols "\n" symbols)
  message(FATAL_ERROR "the library refers to:\n${symbols}")
endif()
