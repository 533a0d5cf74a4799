//! Raises walls from outside and reads them back.
