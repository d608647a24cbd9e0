//! Values at small numbers that stay theirs: the numbers stand in for references.

use alloc::vec::Vec;

/// Slots, taken and free.
#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Stores a value, and answers its number.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(value);
            return slot;
        }
        let slot = u32::try_from(self.slots.len()).expect("memory ends before numbers do");
        self.slots.push(Some(value));
        slot
    }

    /// Takes a value out; its number may be given to another one.
    pub(super) fn remove(&mut self, slot: u32) -> T {
        let value = self.slots[slot as usize].take().expect("a number stands for a stored value");
        self.free.push(slot);
        value
    }

    pub(super) fn get(&self, slot: u32) -> &T {
        self.slots[slot as usize].as_ref().expect("a number stands for a stored value")
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut T {
        self.slots[slot as usize].as_mut().expect("a number stands for a stored value")
    }

    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// All values with their numbers, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().zip(0..).filter_map(|(value, slot)| Some((slot, value.as_ref()?)))
    }
}
