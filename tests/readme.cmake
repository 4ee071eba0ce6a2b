add_test(NAME readme_test COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/readme_test.py)
set_tests_properties(readme_test PROPERTIES LABELS readme RUN_SERIAL ON TIMEOUT 120
                     ENVIRONMENT "FORERUN_BINARY=$<TARGET_FILE:forerun>")
