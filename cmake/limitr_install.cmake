# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts in place: the libraries, the public headers, the programs, and a
# package that `find_package(limitr)` finds; it gives the targets limitr::limitr and limitr::c.
# Programs that are built without CMake find liblimitr.so by pkg-config.
include(CMakePackageConfigHelpers)

get_property(libraries GLOBAL PROPERTY LIMITR_LIBRARIES)
list(REMOVE_ITEM libraries limitr_cli)  # Part of the program, of use to nobody else.
install(TARGETS ${libraries} EXPORT limitr_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET limitr_c)
  install(TARGETS limitr_c EXPORT limitr_targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  configure_file(${PROJECT_SOURCE_DIR}/cmake/limitr.pc.in ${PROJECT_BINARY_DIR}/limitr.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/limitr.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/limitr DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET limitr_program)
  install(TARGETS limitr_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(TARGET limitr-bench)
  install(TARGETS limitr-bench RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/limitr)
install(EXPORT limitr_targets FILE limitrTargets.cmake NAMESPACE limitr:: DESTINATION ${package_dir})
configure_package_config_file(
  ${PROJECT_SOURCE_DIR}/cmake/limitrConfig.cmake.in ${PROJECT_BINARY_DIR}/limitrConfig.cmake
  INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/limitrConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/limitrConfig.cmake ${PROJECT_BINARY_DIR}/limitrConfigVersion.cmake
  DESTINATION ${package_dir})
