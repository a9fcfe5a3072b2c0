//! Windows of dead letters that are published together, bounded in number and bytes.

use std::collections::VecDeque;

/// The maximum number of messages in a window.
pub(super) const WINDOW: usize = 1000;

/// The maximum size of a window in bytes; one message alone may exceed it.
const WINDOW_BYTES: i64 = 16 << 20;

/// A window that is to be returned.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) ids: Vec<i64>,
    /// Whether an earlier attempt marked them: the broker was lost, or another session had them
    /// locked.
    pub(super) is_suspect: bool,
}

/// Divides dead letters of these sizes into windows of at most `most`.
pub(super) fn windows(sizes: &[(i64, i32)], most: usize) -> VecDeque<Window> {
    let mut windows: VecDeque<Window> = VecDeque::new();
    let mut bytes = 0;
    for (id, size) in sizes {
        let size = i64::from(*size);
        match windows.back_mut() {
            Some(window) if window.ids.len() < most && bytes + size <= WINDOW_BYTES => {
                window.ids.push(*id);
                bytes += size;
            }
            _ => {
                windows.push_back(Window { ids: vec![*id], is_suspect: false });
                bytes = size;
            }
        }
    }
    windows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_limited_by_messages_and_by_bytes() {
        let divided = |sizes: &[i32], most: usize| {
            let sizes: Vec<(i64, i32)> = (1..).zip(sizes.iter().copied()).collect();
            windows(&sizes, most).into_iter().map(|window| window.ids).collect::<Vec<_>>()
        };
        assert_eq!(divided(&[], 3), Vec::<Vec<i64>>::new());
        assert_eq!(divided(&[1, 1, 1, 1], 3), [vec![1, 2, 3], vec![4]]);
        let (half, whole) = (8 << 20, 64 << 20);
        assert_eq!(divided(&[half, half, half], 9), [vec![1, 2], vec![3]]);
        assert_eq!(divided(&[whole, 1, whole], 9), [vec![1], vec![2], vec![3]]);
    }
}
