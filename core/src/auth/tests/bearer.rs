//! Bearer.
