forerun_test(messages_tests unit SOURCES unit/codec_test.cpp DEPENDS forerun::messages)
target_compile_definitions(messages_tests PRIVATE FORERUN_GOLDEN="${CMAKE_CURRENT_SOURCE_DIR}/golden")
