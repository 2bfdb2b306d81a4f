"""Honest comparison of models: folds that part no copies, scores with intervals, paired tests."""
