forerun_test(backtest_tests unit
             SOURCES unit/adversarial_test.cpp unit/backtest_test.cpp unit/predict_test.cpp unit/simulate_test.cpp support/adversarial_sessions.cpp
             DEPENDS forerun::backtest)
