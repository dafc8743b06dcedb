//! Checks of single documents against AWS's rules, a file per noun.
