forerun_test(demo_tests unit
             SOURCES unit/demo_driver_test.cpp unit/demo_http_test.cpp unit/demo_report_test.cpp
                     unit/demo_workload_test.cpp unit/local_cluster_test.cpp
             DEPENDS forerun::demo forerun::files forerun::speculation)
