//! The console over HTTP, and in a real browser by mouse, by keyboard and without JavaScript.

mod access;
mod actions;
mod api;
mod browser_accessibility;
mod browser_forms;
mod browser_hostile_text;
mod browser_restarts;
mod browser_story;
mod contents;
mod dead_letters;
mod every_action;
mod inboxes;
mod next_steps;
mod operations;
mod outcomes;
mod pages;
mod recovered;
mod scale;
mod webhook;
