# Installs the build to an empty prefix, builds examples/ against it and asks the example something.
function(run)
  execute_process(COMMAND ${ARGN}
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE errors)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${ARGN}: ${result}\n${output}\n${errors}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${PREFIX})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX}/installed)
run(${CMAKE_COMMAND} -S ${SOURCE}/examples -B ${PREFIX}/build
  -DCMAKE_PREFIX_PATH=${PREFIX}/installed -DCMAKE_CXX_COMPILER=${COMPILER})
run(${CMAKE_COMMAND} --build ${PREFIX}/build)
run(${PREFIX}/build/complete ${SOURCE}/models/needle-text
  "It was late. The secret number of the amber falcon is 4821. They slept.\n\nWhat is the secret number of the amber falcon?")
if(NOT output MATCHES "^4821\n")
  message(FATAL_ERROR "expected 4821, found: ${output}")
endif()
run(${PREFIX}/installed/bin/dsv4 --version)
