"""Item models: recommenders with a formula, to be beaten and to be blended with."""
