forerun_test(executors_tests unit
             SOURCES support/http_server.cpp unit/cgroup_test.cpp unit/command_log_test.cpp unit/executors_test.cpp unit/http_executor_test.cpp unit/http_task_test.cpp
                     unit/replay_executor_test.cpp unit/resident_test.cpp unit/sandbox_test.cpp
             DEPENDS forerun::executors OpenSSL::SSL)
add_dependencies(executors_tests forerun-sandbox)
target_compile_definitions(executors_tests PRIVATE FORERUN_SANDBOX_HELPER="$<TARGET_FILE:forerun-sandbox>")
