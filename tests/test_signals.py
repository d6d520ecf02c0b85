import os
import signal
import time

from ecd_tune.signals import StopFlag


def test_first_signal_sets_the_flag_and_second_exits() -> None:
    left: list[int] = []
    with StopFlag(leave=left.append) as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
        assert stop.exit_status == 128 + signal.SIGTERM
        assert left == []
        os.kill(os.getpid(), signal.SIGINT)
        assert left == [128 + signal.SIGINT]


def test_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopFlag():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_wait_ends_with_the_signal() -> None:
    with StopFlag() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        begin = time.monotonic()
        assert stop.wait(100)
        assert time.monotonic() - begin < 50


def test_no_signal_means_status_zero() -> None:
    with StopFlag() as stop:
        assert not stop.wait(0.01)
    assert stop.exit_status == 0


def test_end_of_a_followed_stream_counts_as_a_hangup() -> None:
    read, write = os.pipe()
    with StopFlag() as stop:
        stop.follow(read)
        assert not stop.wait(0.05)
        os.close(write)
        assert stop.wait(100)
    assert stop.exit_status == 128 + signal.SIGHUP


def test_batch_system_notices_set_the_flag_and_never_exit() -> None:
    left: list[int] = []
    with StopFlag(leave=left.append) as stop:
        for number in (signal.SIGUSR2, signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), number)
        assert stop.exit_status == 128 + signal.SIGUSR2
        assert left == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert left == [128 + signal.SIGTERM]
    with StopFlag(leave=left.append) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGUSR2)
        assert stop.exit_status == 128 + signal.SIGTERM
        assert len(left) == 1
