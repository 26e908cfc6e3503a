# SPDX-License-Identifier: Apache-2.0
# What every target of ours is built with, and how a folder of src/ becomes a library.

add_library(limitr_warnings INTERFACE)
target_compile_options(limitr_warnings INTERFACE -Wall -Wextra -Wconversion -Wshadow -Werror)

if(LIMITR_SANITIZE)
  add_compile_options(-fsanitize=${LIMITR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${LIMITR_SANITIZE})
endif()

# limitr_library(name sources... DEPENDS targets... TESTS test_sources...): the static library
# limitr_<name> of src/<name>, and beside it the tests that stand next to its code.
function(limitr_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;TESTS" ${ARGN})
  set(target limitr_${name})
  add_library(${target} STATIC ${ARG_UNPARSED_ARGUMENTS})
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${target} PUBLIC ${ARG_DEPENDS} PRIVATE $<BUILD_INTERFACE:limitr_warnings>)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_property(GLOBAL APPEND PROPERTY LIMITR_LIBRARIES ${target})
  set(tests "")
  foreach(source ${ARG_TESTS})
    list(APPEND tests ${CMAKE_CURRENT_SOURCE_DIR}/${source})
  endforeach()
  set_property(GLOBAL APPEND PROPERTY LIMITR_UNIT_TESTS ${tests})
endfunction()
