//! Time that passes only when everybody waits: a 900-second story takes milliseconds.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use aws_sdk_ec2::config::{AsyncSleep, Sleep};
use aws_smithy_async::time::TimeSource;

/// A clock shared by all who hold a clone.
#[derive(Debug, Clone, Default)]
pub struct Clock(Arc<Mutex<Time>>);

#[derive(Debug, Default)]
struct Time {
    now: Duration,
    /// Who waits for which instant; the number keeps two for one instant apart.
    sleepers: BTreeMap<(Duration, u64), Option<Waker>>,
    next: u64,
}

impl Clock {
    /// How much time has passed.
    pub fn now(&self) -> Duration {
        self.time().now
    }

    pub fn advance(&self, by: Duration) {
        self.time().now += by;
    }

    /// Follows a clock on the wall, for a program that cannot be given this one.
    pub fn follow(&self, elapsed: Duration) {
        let mut time = self.time();
        time.now = time.now.max(elapsed);
    }

    /// Runs a future to its end; whenever it waits, the time becomes that of its earliest sleeper.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(woken.clone());
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
                return done;
            }
            while !woken.0.swap(false, Ordering::Relaxed) {
                self.wake_the_next();
            }
        }
    }

    fn wake_the_next(&self) {
        let mut time = self.time();
        let ((then, _), waker) = time.sleepers.pop_first().expect("nobody waits for anything: a deadlock");
        time.now = time.now.max(then);
        drop(time);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.0.lock().expect("nobody panics while reading the clock")
    }
}

impl AsyncSleep for Clock {
    fn sleep(&self, duration: Duration) -> Sleep {
        let mut time = self.time();
        let place = (time.now + duration, time.next);
        time.next += 1;
        time.sleepers.insert(place, None);
        Sleep::new(Sleeper { clock: self.clone(), place })
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_251_610) + self.time().now
    }
}

struct Sleeper {
    clock: Clock,
    place: (Duration, u64),
}

impl Future for Sleeper {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut time = self.clock.time();
        if time.now >= self.place.0 {
            return Poll::Ready(());
        }
        time.sleepers.insert(self.place, Some(context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.clock.time().sleepers.remove(&self.place);
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
