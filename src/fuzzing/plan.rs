//! Bytes that decide.

/// The bytes that decide; zeros when they are used up, which make the smallest of all there is.
pub(super) struct Plan<'a>(pub(super) &'a [u8]);

impl Plan<'_> {
    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    /// True in one of so many cases; not when the bytes are used up.
    pub(super) fn once_in(&mut self, cases: u8) -> bool {
        self.byte() % cases == cases - 1
    }
}
