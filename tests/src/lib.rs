//! The harness that the black-box suites share.
