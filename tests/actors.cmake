# Actors under CAF's deterministic scheduler: no thread, virtual time, the mailbox order is the test's.
forerun_test(actors_tests unit
             SOURCES unit/actor_loop_test.cpp unit/actors_test.cpp support/scripted_cluster.cpp
             DEPENDS forerun::actors forerun::storage)
