"""Jobs behind the thread that hands them over: in order, a bounded number, and with their errors."""

import gc
import threading
import weakref

import pytest
import torch

from sclip_lightning.engine.behind import Behind, has_spare_core

#: Longest that a thread is waited for, in seconds; nothing here takes a thousandth of it.
PATIENCE = 30


@pytest.fixture
def behind():
    made = Behind(waiting=2)
    yield made
    made.end()


def test_jobs_are_done_in_order_in_one_other_thread(behind):
    done = []
    for number in range(20):
        behind.hand_over(lambda number=number: done.append((number, threading.get_ident())))
    behind.wait()
    assert [number for number, _ in done] == list(range(20))
    (thread,) = {thread for _, thread in done}
    assert thread != threading.get_ident()


def test_who_hands_over_goes_on_until_too_many_wait(behind):
    gate, handed = threading.Event(), []

    def hand_over_four():
        for number in range(4):
            behind.hand_over(lambda: gate.wait(PATIENCE))
            handed.append(number)

    giver = threading.Thread(target=hand_over_four)
    giver.start()
    giver.join(0.2)
    assert giver.is_alive()
    assert handed == [0, 1, 2]  # one that is being done, and two that wait
    gate.set()
    giver.join(PATIENCE)
    assert handed == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_an_error_comes_up_and_nothing_is_done_after_it(behind, kind):
    done = []

    def fail():
        raise kind("no room")

    behind.hand_over(lambda: done.append("before"))
    behind.hand_over(fail)
    with pytest.raises(kind, match="no room"):
        for _ in range(5):  # more than may wait: nobody waits for ever behind a failure
            behind.hand_over(lambda: done.append("after"))
        behind.wait()
    for ask in (behind.check, behind.wait, lambda: behind.hand_over(fail)):
        with pytest.raises(kind, match="no room"):
            ask()
    behind.end()
    assert done == ["before"]


def test_the_end_waits_for_what_was_handed_over(behind):
    gate, done = threading.Event(), []
    behind.hand_over(lambda: gate.wait(PATIENCE))
    behind.hand_over(lambda: done.append(1))
    threading.Timer(0.05, gate.set).start()
    behind.end()
    assert done == [1]
    behind.end()  # once more changes nothing
    assert not any(thread.name == "behind-the-network" for thread in threading.enumerate())
    behind.hand_over(lambda: done.append(2))  # the next run of the same
    behind.wait()
    assert done == [1, 2]


def test_there_is_no_thread_before_the_first_job(behind):
    behind.check()
    behind.wait()
    assert not any(thread.name == "behind-the-network" for thread in threading.enumerate())


@pytest.mark.slow
def test_nothing_of_a_job_is_kept(behind):
    class Image:
        pass

    image = Image()
    gone = weakref.ref(image)
    behind.hand_over(lambda image=image: None)
    del image
    behind.wait()
    gc.collect()
    assert gone() is None


def test_without_a_thread_jobs_are_done_at_once():
    behind, done = Behind(threaded=False), []
    behind.hand_over(lambda: done.append(threading.current_thread()))
    assert done == [threading.current_thread()]
    with pytest.raises(ZeroDivisionError):
        behind.hand_over(lambda: 1 / 0)
    behind.wait()
    behind.end()


@pytest.mark.parametrize(("device", "threads", "spare"), [("cpu", 2, False), ("cpu", 1, True), ("cuda", 2, True)])
def test_a_thread_beside_the_network_needs_a_core(device, threads, spare, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert has_spare_core(torch.device(device)) is spare
