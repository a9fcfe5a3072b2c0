//! A reason that is being read, and what is left of it so far.

/// Stands for whatever was taken out, so that an id that is a number and one that is a UUID leave
/// the same text.
pub(super) const VALUE: char = '…';

/// What may stand between the parts of one value: those of a time, an address, a version, a path.
const JOINERS: [char; 9] = [' ', ',', '.', ':', '-', '+', '_', '/', '?'];

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Reason,
    /// In a sentence that the reason quotes. What that quotes is a name or a value.
    Sentence,
    /// In a name, such as that of a constraint: digits may tell causes apart.
    Name,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    pub(super) place: Place,
    input: &'a [char],
    /// How many characters of the input are read.
    at: usize,
    so_far: String,
}

impl<'a> Scanner<'a> {
    pub(super) const fn new(input: &'a [char], place: Place) -> Self {
        Self { place, input, at: 0, so_far: String::new() }
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &'a [char] {
        &self.input[self.at..]
    }

    /// The character before it.
    pub(super) fn previous(&self) -> Option<char> {
        self.at.checked_sub(1).map(|before| self.input[before])
    }

    /// Whether a word or a number could begin here.
    pub(super) fn follows_boundary(&self) -> bool {
        self.previous().is_none_or(|previous| !previous.is_alphanumeric())
    }

    /// What is left of what was read.
    pub(super) fn so_far(&self) -> &str {
        &self.so_far
    }

    /// Reads the next `length` characters.
    pub(super) const fn skip(&mut self, length: usize) {
        self.at += length;
    }

    pub(super) fn keep(&mut self, text: &str) {
        self.so_far.push_str(text);
    }

    pub(super) fn keep_char(&mut self, c: char) {
        self.so_far.push(c);
    }

    /// Adds a space unless there is one.
    pub(super) fn space(&mut self) {
        if !self.so_far.is_empty() && !self.so_far.ends_with(' ') {
            self.so_far.push(' ');
        }
    }

    /// Adds a value, or makes it part of the one before, so that a list is as long as any other.
    pub(super) fn value(&mut self) {
        let text = &self.so_far;
        let before = text.strip_suffix(", ").or_else(|| text.strip_suffix(JOINERS));
        let before = before.unwrap_or(text);
        if before.ends_with(VALUE) {
            self.so_far.truncate(before.len());
            return;
        }
        // The sign of a number.
        let unsigned = text.strip_suffix(['-', '+']);
        if let Some(unsigned) = unsigned.filter(|text| !text.ends_with(char::is_alphanumeric)) {
            self.so_far.truncate(unsigned.len());
        }
        self.so_far.push(VALUE);
    }

    /// What is left in the end.
    pub(super) fn finish(self) -> String {
        self.so_far.trim_end().to_owned()
    }
}

/// How many of the first characters are such ones.
pub(super) fn run(text: &[char], is_one: impl Fn(char) -> bool) -> usize {
    text.iter().take_while(|&&c| is_one(c)).count()
}
