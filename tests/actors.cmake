# Actors under CAF's deterministic scheduler: no thread, virtual time, the mailbox order is the test's.
forerun_test(actors_tests unit
             SOURCES unit/actors_test.cpp support/scripted_cluster.cpp
             DEPENDS forerun::actors forerun::storage)
# A program of its own, since here CAF's printer has a thread, of which TSan would tell falsely.
forerun_test(actor_loop_tests unit SOURCES unit/actor_loop_test.cpp DEPENDS forerun::peers)
