"""Persons, numbers and addresses, drawn by a seeded generator in varied writings."""

from __future__ import annotations

import random

from tests.rl.synthesis.personal_names import (
    CITIES,
    COUNTIES,
    DOUBLE,
    ESTATES,
    FOREIGN,
    GIVEN,
    PLATES,
    PROVINCES,
    SINGLE,
    STREETS,
    VILLAGES,
)


class People:
    """Draws persons and what belongs to them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.used: set[str] = set()

    def name(self) -> str:
        """A name that the text has not yet, and that holds none that it has."""
        while True:
            dice = self.rng.random()
            if dice < 0.04:
                name = self.rng.choice(FOREIGN)
            else:
                first = self.rng.choice(DOUBLE) if dice < 0.08 else self.rng.choice(SINGLE)
                given = self.rng.choices(GIVEN, k=self.rng.choice((1, 2, 2, 2)))
                name = first + "".join(given)
            if not any(name in other or other in name for other in self.used):
                self.used.add(name)
                return name

    def digits(self, count: int) -> str:
        return "".join(self.rng.choices("0123456789", k=count))

    def id_number(self) -> str:
        rng, weights = self.rng, [2**power % 11 for power in range(17, 0, -1)]
        region = rng.choice(("110105", "320581", "440306", "510104", "610113", "330782"))
        year, month, day = rng.randrange(1940, 2008), rng.randrange(1, 13), rng.randrange(1, 29)
        if rng.random() < 0.12:
            return (
                f"{region}{year % 100:02}{month:02}{day:02}{self.digits(3)}"
                if 1940 <= year < 2000
                else self.id_number()
            )
        body = f"{region}{year}{month:02}{day:02}{self.digits(3)}"
        last = "10X98765432"[sum(int(one) * weight for one, weight in zip(body, weights, strict=True)) % 11]
        number = body + (last.lower() if rng.random() < 0.1 else last)
        dice = rng.random()
        if dice < 0.1:
            return f"{number[:6]} {number[6:14]} {number[14:]}"
        return f"{number[:6]}-{number[6:14]}-{number[14:]}" if dice < 0.15 else self.written(number)

    def written(self, number: str) -> str:
        """A number in full-width or Chinese digits, now and then."""
        dice = self.rng.random()
        if dice < 0.06:
            return number.translate(str.maketrans("0123456789X", "０１２３４５６７８９Ｘ"))
        return (
            number.translate(str.maketrans("0123456789", "〇一二三四五六七八九"))
            if dice < 0.09 and "X" not in number.upper()
            else number
        )

    def mobile(self) -> str:
        number = "1" + self.rng.choice("3456789") + self.digits(9)
        dice = self.rng.random()
        if dice < 0.12:
            return f"{number[:3]}-{number[3:7]}-{number[7:]}"
        if dice < 0.24:
            return f"{number[:3]} {number[3:7]} {number[7:]}"
        return f"+86{number}" if dice < 0.28 else self.written(number)

    def landline(self) -> str:
        area = self.rng.choice(("010", "021", "0571", "0755", "0931"))
        local = self.rng.choice("2345678") + self.digits(7 if len(area) == 3 else self.rng.choice((6, 7)))
        return self.rng.choice((f"{area}-{local}", f"({area}){local}", f"（{area}）{local}", f"{area} {local}"))

    def card(self) -> str:
        body = self.rng.choice(("621700", "622848", "622202", "436742")) + self.digits(self.rng.choice((9, 12)))
        total = sum(sum(divmod(int(one) * (2 - place % 2), 10)) for place, one in enumerate(reversed(body)))
        number = body + str(-total % 10)
        if self.rng.random() < 0.25:
            return " ".join(number[at : at + 4] for at in range(0, len(number), 4))
        return self.written(number)

    def plate(self) -> str:
        place, letter = self.rng.choice("京沪苏浙粤川鲁豫"), self.rng.choice(PLATES)
        if self.rng.random() < 0.3:
            return f"{place}{letter}{self.rng.choice('DF')}{self.digits(5)}"
        body = "".join(self.rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", k=3)) + self.digits(2)
        return f"{place}{letter}{self.rng.choice(('', '', '·', ' '))}{body}"

    def email(self) -> str:
        name = "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz0123456789_.", k=7)).strip(".") or "user"
        return f"x{name}@{self.rng.choice(('mail.example.com', 'example.com.cn', 'post.example.net'))}"

    def address(self) -> tuple[str, str]:
        """(region, the rest)."""
        rng = self.rng
        region = rng.choice((rng.choice(PROVINCES), "")) + rng.choice(CITIES) + rng.choice(COUNTIES)
        n = rng.randrange(1, 300)
        if rng.random() < 0.3:
            return (
                region,
                f"{rng.choice(VILLAGES)}{rng.choice((f'{n % 20 + 1}组', f'第{n % 9 + 1}村民小组', '', f'{n}号'))}",
            )
        rest = f"{rng.choice(STREETS)}{n}号{rng.choice(ESTATES)}"
        flat = (
            f"{n % 30 + 1}栋{n % 4 + 1}单元{n % 9 + 1}02室",
            f"{n % 30 + 1}号楼{n % 20 + 1}01",
            f"{n % 9 + 1}幢{n + 100}室",
            "",
            f"{n % 9 + 1}-{n % 5 + 1}-301室",
        )
        return region, rest + rng.choice(flat)
