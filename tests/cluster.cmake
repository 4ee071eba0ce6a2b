forerun_test(cluster_tests unit SOURCES unit/bus_test.cpp unit/keys_test.cpp unit/process_test.cpp
             DEPENDS forerun::cluster cppzmq)
