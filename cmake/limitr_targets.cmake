# SPDX-License-Identifier: Apache-2.0
# What every target of ours is built with, and how a folder of src/ becomes a library.

add_library(limitr_warnings INTERFACE)
target_compile_options(limitr_warnings INTERFACE -Wall -Wextra -Wconversion -Wshadow -Werror
  # gcc 12 takes moving a std::variant that holds strings for reading them uninitialised.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
  # ... and "text" + std::string for overlapping copies.
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  # std::stable_sort of gcc 12 calls what it has deprecated itself, and clang says so at our calls.
  # gcc, which does not, looks for deprecated calls of ours.
  $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations -Wreserved-identifier>)

if(LIMITR_SANITIZE)
  add_compile_options(-fsanitize=${LIMITR_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${LIMITR_SANITIZE})
  # Its parsers have one member more where nothing is optimised, and here only some of the code is.
  add_compile_definitions(SIMDJSON_DEVELOPMENT_CHECKS=0)
  if(LIMITR_SANITIZE MATCHES thread)
    # The sanitizer does not see fences; what they order is also behind the mutex of the io_context.
    add_compile_definitions(BOOST_ASIO_DISABLE_FENCED_BLOCK)
  endif()
endif()

# What a sanitizer makes of a library is many times as long; so that not each of the tests has a copy
# of it, they share one.
set(LIMITR_LIBRARY_KIND STATIC)
if(LIMITR_SANITIZE AND NOT LIMITR_FUZZ)
  set(LIMITR_LIBRARY_KIND SHARED)
endif()

# Where there is one thread, there is nothing that the sanitizer of threads could find.
set(LIMITR_ONE_THREAD_TESTS ON)
if(LIMITR_SANITIZE MATCHES thread)
  set(LIMITR_ONE_THREAD_TESTS OFF)
endif()

# limitr_build_tests_quickly(): for a folder of tests. What they take to compile matters more than
# what they take to run, most of all where a sanitizer is added to what gtest makes of each line.
macro(limitr_build_tests_quickly)
  if(LIMITR_SANITIZE AND NOT LIMITR_FUZZ)
    add_compile_options(-O0)
  else()
    add_compile_options($<$<CONFIG:Release>:-O1>)
  endif()
endmacro()

# limitr_starts_early(tests...): for those that run for half a minute and mostly wait, so that none of
# them is left to run alone at the end.
function(limitr_starts_early)
  set_tests_properties(${ARGN} PROPERTIES COST 100)
endfunction()

# limitr_runs_seldom(target): for code of which the tests run little, or that mostly waits, or that is
# long by what Boost.Asio and Beast put into it. To optimise what a sanitizer adds to that takes
# minutes, and saves seconds.
function(limitr_runs_seldom target)
  if(LIMITR_SANITIZE AND NOT LIMITR_FUZZ)
    target_compile_options(${target} PRIVATE -O0)
  endif()
endfunction()

# libFuzzer sees by this which code an input reaches.
if(LIMITR_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# gcc zeroes a few hundred bytes by an instruction that takes longer to start than a whole call
# should; spelled out as stores it is several times faster.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  target_compile_options(limitr_warnings INTERFACE
    -mmemset-strategy=unrolled_loop:2048:noalign,libcall:-1:noalign)
endif()

# Code that may go into a shared library is also fast inside it: nobody puts other functions in
# the place of ours, so gcc may inline across the files of a folder.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(limitr_warnings INTERFACE -fno-semantic-interposition)
endif()

# Linking is most of a rebuild; mold does it in a fraction of the time.
find_program(LIMITR_MOLD mold)
if(PROJECT_IS_TOP_LEVEL AND LIMITR_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

# limitr_library(name sources... DEPENDS targets... TESTS test_sources... ONE_THREAD_TESTS
# test_sources...): the library limitr_<name> of src/<name>, and beside it the tests that stand next
# to its code; last, those in which nothing runs beside anything else.
function(limitr_library name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;TESTS;ONE_THREAD_TESTS" ${ARGN})
  set(target limitr_${name})
  add_library(${target} ${LIMITR_LIBRARY_KIND} ${ARG_UNPARSED_ARGUMENTS})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} DEFINE_SYMBOL ""
    UNITY_BUILD ${LIMITR_UNITY} UNITY_BUILD_BATCH_SIZE 0)
  target_include_directories(${target} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${target} PUBLIC ${ARG_DEPENDS} PRIVATE $<BUILD_INTERFACE:limitr_warnings>)
  target_compile_features(${target} PUBLIC cxx_std_20)
  set_property(GLOBAL APPEND PROPERTY LIMITR_LIBRARIES ${target})
  set(tests "")
  if(LIMITR_ONE_THREAD_TESTS)
    list(APPEND ARG_TESTS ${ARG_ONE_THREAD_TESTS})
  endif()
  foreach(source ${ARG_TESTS})
    list(APPEND tests ${CMAKE_CURRENT_SOURCE_DIR}/${source})
  endforeach()
  set_property(GLOBAL APPEND PROPERTY LIMITR_UNIT_TESTS ${tests})
endfunction()
