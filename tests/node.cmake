forerun_test(node_tests unit SOURCES unit/node_machine_test.cpp unit/replica_audit_test.cpp DEPENDS forerun::node)
