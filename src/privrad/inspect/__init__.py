"""The cohorts of a study before any training, on one page that stays in the hospital."""
