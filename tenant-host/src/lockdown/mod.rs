//! The walls that only oneself can raise, in the order of decision W4.
