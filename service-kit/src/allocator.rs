//! The allocator of each program that uses this crate. Requests and windows are many small allocations that are freed together,
//! which glibc's own spends much time on: more than the relay on all the rest, and a third of what reading an order takes.

#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
