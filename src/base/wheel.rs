//! PLACEHOLDER_WHEEL
use crate::base::time::Mono;
/// x
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timer(crate::base::arena::Key);
/// x
#[derive(Debug)]
pub struct Wheel<T>(core::marker::PhantomData<T>);
impl<T> Wheel<T> {
    /// x
    pub fn new(_: Mono) -> Self {
        Self(core::marker::PhantomData)
    }
    /// x
    pub fn insert(&mut self, _: Mono, _: T) -> Timer {
        unimplemented!()
    }
    /// x
    pub fn cancel(&mut self, _: Timer) -> Option<T> {
        None
    }
}
