# Helpers that every folder uses, so that its CMakeLists.txt says only what is in it.

set_property(GLOBAL PROPERTY DSV_LIBRARIES "")

# dsv_library(<folder> SOURCES <file>... [DEPS <folder or package target>...])
# Target dsv_<folder>; its objects also become part of the installed library dsv4.
function(dsv_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(dsv_${name} STATIC ${ARG_SOURCES})
  target_include_directories(dsv_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(dsv_${name} PUBLIC ${ARG_DEPS} PRIVATE dsv_warnings)
  set_property(GLOBAL APPEND PROPERTY DSV_LIBRARIES dsv_${name})
endfunction()

# dsv_isa_source(<folder> <file> <flag>...): one instruction-set file of a library. g++ 12 takes the
# deliberately undefined operands inside its own intrinsics for mistakes (GCC bug 105593).
function(dsv_isa_source name file)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND ARGN -Wno-uninitialized -Wno-maybe-uninitialized)
  endif()
  target_sources(dsv_${name} PRIVATE ${file})
  set_source_files_properties(${file} PROPERTIES COMPILE_OPTIONS "${ARGN}")
endfunction()

# What the TSan preset builds: the tests labelled threads.
add_custom_target(thread_tests)

# dsv_test(<name> [SOURCES <file>...] DEPS <target>... [LABELS <label>...])
# A GoogleTest program made of <name>.cpp; DSV_TEST_DATA points at tests/vectors. With LABELS isa
# it runs once for every instruction set that the machine has, and DEPS must reach dsv_kernels.
function(dsv_test name)
  if(NOT DSV_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LABELS" ${ARGN})
  if(NOT ARG_SOURCES)
    set(ARG_SOURCES ${name}.cpp)
  endif()
  set(main GTest::gtest_main)
  if("isa" IN_LIST ARG_LABELS)
    set(main GTest::gtest)
    list(APPEND ARG_SOURCES ${PROJECT_SOURCE_DIR}/tests/support/isa_main.cpp)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} dsv_warnings ${main})
  target_compile_definitions(${name} PRIVATE
    DSV_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/vectors" DSV_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}")
  if("threads" IN_LIST ARG_LABELS)
    add_dependencies(thread_tests ${name})
  endif()
  if("isa" IN_LIST ARG_LABELS)
    foreach(isa scalar avx2 avx512 avx512bf16)
      add_test(NAME ${name}_${isa} COMMAND ${name})
      set_tests_properties(${name}_${isa} PROPERTIES
        ENVIRONMENT "DSV_ISA=${isa}" LABELS "${ARG_LABELS}" SKIP_RETURN_CODE 77)
    endforeach()
  endif()
endfunction()

# dsv_fuzz(<name> DEPS <target>...): a libFuzzer program made of <name>.cpp; DSV_TEST_DATA as above.
function(dsv_fuzz name)
  if(NOT DSV_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "DEPS" ${ARGN})
  add_executable(${name} ${name}.cpp)
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} dsv_warnings)
  target_compile_definitions(${name} PRIVATE DSV_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/vectors")
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
endfunction()
