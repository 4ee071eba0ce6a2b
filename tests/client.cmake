forerun_test(client_tests unit SOURCES unit/learn_test.cpp unit/run_test.cpp DEPENDS forerun::client)
