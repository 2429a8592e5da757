//! Numbered places that are reused, in chunks: growing moves nothing, so it takes no longer under a
//! lock the more there is.

/// Places per chunk.
const CHUNK: usize = 1024;

pub(crate) struct Places<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    /// Places ever used; those above are free without being listed.
    used: usize,
    len: usize,
}

impl<T> Places<T> {
    pub(crate) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free: Vec::new(),
            used: 0,
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The place that the next [`insert`](Self::insert) takes.
    #[inline]
    pub(crate) fn next_place(&self) -> u32 {
        // 4 G live tasks do not fit into memory.
        self.free.last().copied().unwrap_or(self.used as u32)
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: T) {
        self.len += 1;
        if let Some(place) = self.free.pop() {
            if let Some(slot) = self.slot(place) {
                *slot = Some(value);
            }
            return;
        }
        if self.used / CHUNK == self.chunks.len() {
            // The first chunk grows with its use, since most groups are small.
            let size = if self.chunks.is_empty() { 0 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(size));
        }
        if let Some(chunk) = self.chunks.get_mut(self.used / CHUNK) {
            chunk.push(Some(value));
        }
        self.used += 1;
    }

    #[inline]
    fn slot(&mut self, place: u32) -> Option<&mut Option<T>> {
        let place = place as usize;
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        let place = place as usize;
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)?.as_ref()
    }

    #[inline]
    pub(crate) fn remove(&mut self, place: u32) -> Option<T> {
        let value = self.slot(place)?.take()?;
        self.len -= 1;
        if self.len == 0 {
            self.reset();
        } else {
            self.free.push(place);
        }
        Some(value)
    }

    /// All places are free: starts anew, and gives back what a burst has taken.
    fn reset(&mut self) {
        self.used = 0;
        if self.chunks.len() > 1 {
            *self = Self::new();
        } else {
            self.chunks.iter_mut().for_each(Vec::clear);
            self.free.clear();
            self.free.shrink_to(CHUNK);
        }
    }

    /// The values in `count` places from `from` on; `None` when there are no more places.
    pub(crate) fn slice(&self, from: usize, count: usize) -> Option<impl Iterator<Item = &T>> {
        if from >= self.used {
            return None;
        }
        let places = from..(from + count).min(self.used);
        Some(places.filter_map(|place| self.get(place as u32)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn insert(places: &mut Places<usize>, value: usize) -> u32 {
        let place = places.next_place();
        places.insert(value);
        assert_eq!(places.get(place), Some(&value));
        place
    }

    #[test]
    fn places_are_reused_and_given_back() {
        let mut places = Places::new();
        let taken: Vec<_> = (0..3 * CHUNK)
            .map(|value| insert(&mut places, value))
            .collect();
        assert_eq!(places.remove(taken[7]), Some(7));
        assert_eq!(places.remove(taken[7]), None);
        assert_eq!(insert(&mut places, 7), taken[7]);
        assert_eq!(places.slice(CHUNK, 10).unwrap().count(), 10);
        assert!(places.slice(3 * CHUNK, 10).is_none());
        for (value, place) in taken.into_iter().enumerate() {
            assert_eq!(places.remove(place), Some(value));
        }
        assert_eq!(
            (places.len(), places.chunks.len(), places.free.len()),
            (0, 0, 0)
        );
        assert_eq!(insert(&mut places, 1), 0);
    }
}
