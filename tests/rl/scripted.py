"""A backend whose answers a test decides, and what is asked of it."""

from rl.errors import UserError
from rl.inference.backend import Answer, Ask
from rl.inference.thinking import parted


class Scripted:
    """A backend that answers at once by a function of the ask."""

    max_length = None

    def __init__(self, reply, fail_after=None):
        self.reply, self.fail_after, self.asked = reply, fail_after, []

    def generate(self, asks, done):
        for ask in asks:
            if self.fail_after is not None and len(self.asked) >= self.fail_after:
                raise UserError("the engine failed")
            self.asked.append(ask)
            texts = self.reply(ask)
            texts = [texts] * ask.samples if isinstance(texts, str) else texts
            done(ask, [Answer(*parted(text)[::-1], completion_tokens=len(text), prompt_tokens=1) for text in texts])

    def count_tokens(self, messages):
        return sum(len(content) for _, content in messages)

    def close(self):
        pass


def asks(count, **sampling):
    """Questions ``t/0``, ``t/1``, …"""
    return [Ask(f"t/{number}", (("user", f"问题{number}"),), **sampling) for number in range(count)]


def collect(backend, given):
    """The answers to asks, by key."""
    found = {}
    backend.generate(given, lambda ask, answers: found.update({ask.key: answers}))
    return found
