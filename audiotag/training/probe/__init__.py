"""The probe: a new head by logistic regression on what the frozen backbone gives."""
