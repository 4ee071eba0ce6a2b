forerun_test(gateway_tests unit SOURCES unit/gateway_history_test.cpp unit/gateway_render_test.cpp unit/gateway_routes_test.cpp
                                        unit/gateway_test.cpp unit/gateway_tokens_test.cpp
             DEPENDS forerun::gateway)
