forerun_test(backtest_tests unit
             SOURCES unit/backtest_test.cpp unit/predict_test.cpp unit/simulate_test.cpp
             DEPENDS forerun::backtest)
