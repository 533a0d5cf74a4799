//! Makes host processes: the spawner thread, cold spawns and zygote forks.
