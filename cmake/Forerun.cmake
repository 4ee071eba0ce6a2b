# One target a folder: what a folder DEPENDS on is its place in the diagram of README.md. Presets for whole builds compile a
# folder's files together (CMAKE_UNITY_BUILD), so names in unnamed namespaces must differ within a folder; `dev` compiles
# each alone, so that none lacks an include.
add_library(forerun_options INTERFACE)
target_compile_options(forerun_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor
                                                 -Woverloaded-virtual -ffp-contract=off)

# What a step costs is to a third allocating and freeing short texts, on threads that hand them to each other: jemalloc does
# that in half the time of the C library. Sanitizers bring an allocator of their own.
add_library(forerun_allocator INTERFACE)
find_library(JEMALLOC jemalloc)
if(JEMALLOC AND NOT "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_DEBUG}" MATCHES "-fsanitize")
  target_sources(forerun_allocator INTERFACE ${PROJECT_SOURCE_DIR}/apps/allocator.cpp)
  target_link_libraries(forerun_allocator INTERFACE -Wl,--no-as-needed ${JEMALLOC} -Wl,--as-needed)
endif()

# forerun_library(NAME SOURCES … HEADERS … [DEPENDS forerun::…] [FOREIGN targets used in .cpp files only])
function(forerun_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;HEADERS;DEPENDS;FOREIGN" ${ARGN})
  add_library(forerun_${name} STATIC)
  add_library(forerun::${name} ALIAS forerun_${name})
  target_sources(forerun_${name} PRIVATE ${arg_SOURCES}
                 PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${arg_HEADERS})
  target_link_libraries(forerun_${name} PUBLIC ${arg_DEPENDS} PRIVATE forerun_options ${arg_FOREIGN})
endfunction()

# forerun_planted_twin(NAME [DEPENDS forerun::planted_…] [FOREIGN …]): the same library with the bugs of
# speculation/planted.hpp in it, as forerun::planted_NAME. Built only where a test asks for it.
function(forerun_planted_twin name)
  cmake_parse_arguments(arg "" "" "DEPENDS;FOREIGN" ${ARGN})
  get_target_property(sources forerun_${name} SOURCES)
  get_target_property(folder forerun_${name} SOURCE_DIR)
  list(TRANSFORM sources PREPEND ${folder}/)
  add_library(forerun_planted_${name} STATIC EXCLUDE_FROM_ALL ${sources})
  add_library(forerun::planted_${name} ALIAS forerun_planted_${name})
  target_include_directories(forerun_planted_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_definitions(forerun_planted_${name} PUBLIC FORERUN_PLANTED_BUGS)
  target_link_libraries(forerun_planted_${name} PUBLIC ${arg_DEPENDS} PRIVATE forerun_options ${arg_FOREIGN})
endfunction()

# forerun_test(NAME LABEL SOURCES … DEPENDS …): a Catch2 program, one ctest entry.
function(forerun_test name label)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${arg_DEPENDS} forerun_options Catch2::Catch2WithMain)
  # Each test file has helpers of its own, often of the same name; its own code need not be fast.
  set_target_properties(${name} PROPERTIES UNITY_BUILD OFF)
  target_compile_options(${name} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1>)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${label})
endfunction()
