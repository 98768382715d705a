"""Skeletons of the drawn digits: for each digit several faces, the ways in which people write it.

A face is a tuple of strokes. A stroke is a run of points "x,y" that a smooth curve passes through, in
hundredths of the digit's height; x goes right, y down. Strokes that share a point stay joined there and make
a corner. A stroke that ends where it began is a smooth ring.
"""

Point = tuple[float, float]
Stroke = tuple[Point, ...]
Face = tuple[Stroke, ...]


def _face(*strokes: str) -> Face:
    return tuple(
        tuple((int(x) / 100, int(y) / 100) for x, y in (point.split(",") for point in stroke.split()))
        for stroke in strokes
    )


FACES: tuple[tuple[Face, ...], ...] = (
    (  # 0
        # an oval
        _face("35,0 11,14 0,50 11,86 35,100 60,86 71,50 60,14 35,0"),
        # an egg
        _face("42,0 14,20 0,56 12,90 33,100 59,80 71,42 63,10 42,0"),
        # open at the top, the end running past the start
        _face("50,6 28,2 6,28 0,62 14,93 38,100 64,80 71,42 59,10 33,0"),
        # open at the top
        _face("35,2 9,25 0,58 12,90 35,100 61,82 71,45 63,15 47,2"),
    ),
    (  # 1
        # straight
        _face("30,0 30,100"),
        # bent
        _face("34,0 30,50 29,100"),
        # a flag
        _face("10,24 34,0", "34,0 34,100"),
        # a flag and a foot
        _face("8,22 24,13 34,0", "34,0 34,100", "8,100 60,100"),
    ),
    (  # 2
        # a straight foot
        _face("3,22 13,6 32,0 52,8 57,28 44,54 22,78 0,100", "0,100 62,99"),
        # a loop at the foot
        _face("5,18 22,1 44,3 55,22 48,50 30,77 11,96 0,92 5,81 20,83 40,96 64,93"),
        # a wave at the foot
        _face("4,16 22,0 46,4 54,24 42,52 20,80 2,98", "2,98 20,91 42,99 64,93"),
        # angular
        _face("2,12 28,0 53,10 50,34 28,64 0,100", "0,100 30,98 60,100"),
    ),
    (  # 3
        # two bowls
        _face("4,11 28,0 51,10 51,30 37,44 20,47", "20,47 42,51 57,70 48,92 24,100 0,90"),
        # bowls that meet further right
        _face("6,8 30,0 50,12 46,34 28,46", "28,46 50,56 56,76 42,95 20,100 1,93"),
        # flat top
        _face("5,1 54,0", "54,0 24,40", "24,40 48,47 58,70 45,94 22,100 1,91"),
        # a loop in the middle
        _face("5,12 30,0 52,14 44,36 22,48 14,43 24,40 47,52 58,73 46,94 22,100 1,90"),
    ),
    (  # 4
        # open
        _face("13,2 7,30 1,56", "1,56 30,57 62,53", "48,4 45,50 42,100"),
        # closed
        _face("45,0 0,66", "0,66 64,66", "45,0 44,50 44,100"),
        # a cup and a stem
        _face("6,3 2,30 12,50 34,51 54,40", "57,0 54,40 46,100"),
        # open, slanted
        _face("20,0 0,54", "0,54 62,50", "48,16 37,100"),
    ),
    (  # 5
        # a straight roof
        _face("54,0 12,1", "12,1 7,45", "7,45 30,37 53,49 57,72 42,95 20,100 0,90"),
        # the roof rises
        _face("14,4 34,4 58,0", "14,4 9,25 8,44", "8,44 34,41 54,57 52,82 32,98 8,98"),
        # a wide belly under a short roof
        _face("50,0 30,3 13,2", "13,2 10,20 4,42", "4,42 28,33 56,44 62,70 44,95 16,99 0,88"),
        # a long tail
        _face("60,0 19,3", "19,3 10,42", "10,42 33,40 49,57 42,82 20,98 -6,96"),
    ),
    (  # 6
        # a curved back
        _face("44,0 20,20 4,54 6,86 27,100 50,89 53,68 35,53 14,62 5,80"),
        # a straight back
        _face("34,0 14,32 2,70 12,95 33,100 53,85 50,64 29,57 9,70 3,80"),
        # a hooked top
        _face("54,10 40,0 18,14 3,50 7,85 29,100 52,86 52,61 32,49 11,60 5,76"),
        # the end turns inwards
        _face("30,0 9,36 2,72 16,97 38,97 52,78 42,58 22,60 9,78"),
    ),
    (  # 7
        # plain
        _face("0,3 58,2", "58,2 36,45 22,100"),
        # a bar across
        _face("0,3 58,1", "58,1 38,46 22,100", "13,53 56,49"),
        # a serif
        _face("1,20 4,2", "4,2 60,2", "60,2 36,50 26,100"),
        # a wavy roof
        _face("0,11 18,1 38,6 60,1", "60,1 40,44 29,100"),
        # a round corner
        _face("0,7 30,1 52,4 55,17 40,52 26,100"),
    ),
    (  # 8
        # one ring, crossed in the middle
        _face("31,0 12,8 11,28 30,46 52,65 53,87 29,100 5,87 7,65 30,46 50,28 50,8 31,0"),
        # two rings
        _face("30,0 13,8 10,26 30,46 50,26 47,8 30,0", "30,46 8,58 3,80 30,100 57,80 52,58 30,46"),
        # an S, closed upwards
        _face("53,12 34,0 13,10 16,32 40,52 54,76 38,98 12,94 5,74 22,54 45,34 56,6"),
    ),
    (  # 9
        # a straight stem
        _face("54,13 36,0 12,6 1,27 12,46 33,46 53,28", "56,3 53,28 47,100"),
        # a curved tail
        _face("53,13 34,0 10,8 3,30 18,47 40,42 55,24", "53,13 55,24 56,54 46,86 26,100 5,94"),
        # one stroke
        _face("51,16 32,0 9,10 5,34 24,48 44,36 51,16", "51,16 48,50 38,100"),
        # a ring on a slanted stem
        _face("30,0 7,10 5,36 28,48 52,36 52,12 30,0", "55,24 50,60 30,100"),
    ),
)
