# SPDX-License-Identifier: Apache-2.0
# gubernator, next to which the benches of Cloud are held where it is there, speaks gRPC. What speaks
# to it is built where libgrpc++-dev and protobuf-compiler-grpc are installed.
find_package(Protobuf QUIET)
pkg_check_modules(grpc QUIET IMPORTED_TARGET grpc++)
find_program(LIMITR_GRPC_PLUGIN grpc_cpp_plugin)
mark_as_advanced(LIMITR_GRPC_PLUGIN)
if(NOT (Protobuf_FOUND AND grpc_FOUND AND LIMITR_GRPC_PLUGIN))
  return()
endif()

add_library(limitr_bench_gubernator OBJECT gubernator.proto)
protobuf_generate(TARGET limitr_bench_gubernator LANGUAGE cpp)
protobuf_generate(TARGET limitr_bench_gubernator LANGUAGE grpc
  PLUGIN protoc-gen-grpc=${LIMITR_GRPC_PLUGIN}
  GENERATE_EXTENSIONS .grpc.pb.h .grpc.pb.cc)
target_include_directories(limitr_bench_gubernator SYSTEM PUBLIC ${CMAKE_CURRENT_BINARY_DIR})
target_link_libraries(limitr_bench_gubernator PUBLIC protobuf::libprotobuf PkgConfig::grpc)

target_sources(limitr-bench PRIVATE gubernator.cc)
target_link_libraries(limitr-bench PRIVATE limitr_bench_gubernator)
target_compile_definitions(limitr-bench PRIVATE LIMITR_GUBERNATOR)
