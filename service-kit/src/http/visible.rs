//! Visible characters.

use std::ops::RangeInclusive;

/// Characters without a visible mark that are neither white space nor control characters: those
/// that Unicode lets programs [ignore], the other format characters, and letters and symbols that
/// are drawn as nothing.
///
/// [ignore]: https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point
const INVISIBLE: &[RangeInclusive<char>] = &[
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    // Blank Braille pattern.
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{13430}'..='\u{1345f}',
    '\u{1bca0}'..='\u{1bca3}',
    // Musical symbol null notehead.
    '\u{1d159}'..='\u{1d159}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

/// Returns true if `character` is visible, by itself or as a mark on the one before it.
pub(super) fn is_visible(character: char) -> bool {
    !character.is_whitespace()
        && !character.is_control()
        && !INVISIBLE.iter().any(|range| range.contains(&character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_digits_and_signs_are_visible_and_the_rest_is_not() {
        for seen in ['a', '7', '#', 'é', '字', '\u{301}', '🚀', 'ה'] {
            assert!(is_visible(seen), "{seen:?}");
        }
        for (index, range) in INVISIBLE.iter().enumerate() {
            assert!(!is_visible(*range.start()) && !is_visible(*range.end()), "{range:?}");
            assert!(index == 0 || INVISIBLE[index - 1].end() < range.start(), "{range:?}");
        }
        for unseen in [' ', '\t', '\0', '\u{a0}', '\u{3000}', '\u{85}', '\u{200b}', '\u{feff}'] {
            assert!(!is_visible(unseen), "{unseen:?}");
        }
    }
}
