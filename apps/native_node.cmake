# What `cmake --install` brings beside the Python package: the program, and for C++ programs that register functions in a node
# of their own `find_package(forerun)`, one header with the three that it needs, one archive.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
install(TARGETS forerun RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT program)
install(TARGETS forerun-sandbox RUNTIME DESTINATION libexec COMPONENT program)

set(parts forerun_node_flags forerun_node_process forerun_wire)
foreach(folder actors base cluster coordinator executors files messages node peers speculation storage)
  list(APPEND parts forerun_${folder})
endforeach()
list(TRANSFORM parts REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>")
add_library(forerun_native_node STATIC ${parts})
set_target_properties(forerun_native_node PROPERTIES LINKER_LANGUAGE CXX EXPORT_NAME node OUTPUT_NAME forerun-node UNITY_BUILD OFF)
foreach(dependency CAF cppzmq CURL Protobuf tomlplusplus ZLIB)
  find_package(${dependency} REQUIRED)
endforeach()
target_compile_features(forerun_native_node INTERFACE cxx_std_20)
target_include_directories(forerun_native_node INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(forerun_native_node INTERFACE CAF::core cppzmq protobuf::libprotobuf-lite OpenSSL::Crypto SQLite::SQLite3 CURL::libcurl
                                                    tomlplusplus::tomlplusplus ZLIB::ZLIB Threads::Threads seccomp)

# Here headers are named from the root; installed, from forerun/, so that they meet no folder of a user's.
set(headers apps/native_node.hpp node/executors/native_function.hpp base/json.hpp base/result.hpp)
foreach(header IN LISTS headers)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${header})
  file(READ ${PROJECT_SOURCE_DIR}/${header} text)
  string(REGEX REPLACE "#include \"([a-z/]+/)?([a-z_]+\\.hpp)\"" "#include <forerun/\\2>" text "${text}")
  get_filename_component(name ${header} NAME)
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/installed/${name} CONTENT "${text}" @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/installed/${name} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/forerun COMPONENT development)
endforeach()

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/forerun)
install(TARGETS forerun_native_node EXPORT forerun ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(EXPORT forerun FILE forerun-targets.cmake NAMESPACE forerun:: DESTINATION ${package} COMPONENT development)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/forerun-config.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/forerun-config.cmake
                              INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/forerun-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/forerun-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/forerun-config-version.cmake
              ${PROJECT_SOURCE_DIR}/cmake/FindCAF.cmake
        DESTINATION ${package} COMPONENT development)
