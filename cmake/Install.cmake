# libdsv4: the object code of every dsv_library in one archive, with the public headers and a CMake
# package (find_package(dsv4), target dsv4::dsv4), and the program.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

get_property(libraries GLOBAL PROPERTY DSV_LIBRARIES)
list(TRANSFORM libraries REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE objects)
add_library(dsv4 STATIC ${objects})
set_target_properties(dsv4 PROPERTIES LINKER_LANGUAGE CXX)
target_compile_features(dsv4 PUBLIC cxx_std_20)
target_include_directories(dsv4 PUBLIC
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(dsv4 PUBLIC tl::expected
  PRIVATE fmt::fmt Threads::Threads SQLite::SQLite3 PkgConfig::xxhash)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/dsv4)
install(TARGETS dsv4 EXPORT dsv4Targets)
install(TARGETS dsv4_cli)
install(DIRECTORY include/dsv4 DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT dsv4Targets NAMESPACE dsv4:: DESTINATION ${package_dir})
configure_package_config_file(cmake/dsv4Config.cmake.in dsv4Config.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(dsv4ConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/dsv4Config.cmake ${PROJECT_BINARY_DIR}/dsv4ConfigVersion.cmake
  DESTINATION ${package_dir})
