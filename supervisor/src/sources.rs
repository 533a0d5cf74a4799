//! Where events come from: one queue into the driver.
