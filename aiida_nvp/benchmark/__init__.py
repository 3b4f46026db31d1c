"""Measurements on labelled files of any origin, without AiiDA: how good are error bars, how good is a selection."""
