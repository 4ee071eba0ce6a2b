find_package(cppzmq REQUIRED)  # The bus tests forge what a bus of ours would never send.
forerun_test(cluster_tests unit SOURCES unit/bus_test.cpp unit/dropped_frames_test.cpp unit/keys_test.cpp unit/link_trouble_test.cpp unit/process_test.cpp unit/temporary_folder_test.cpp
             DEPENDS forerun::cluster cppzmq)
