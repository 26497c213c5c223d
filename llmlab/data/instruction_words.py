"""The common words, and the countries, that instructions ask about.

Chosen by hand, so that each question has one answer; the answers come from libraries and rules,
except for those of `OPPOSITES` and `KINDS`, which are given here; tests compare them with WordNet.
"""


def listed(text: str, between: str | None = None) -> tuple[str, ...]:
    """Return the names in a text, as a rule those between its spaces."""
    return tuple(" ".join(name.split()) for name in text.split(between))


# Things one can see, whose plural is not in doubt. Of "mango" or "bus" two are in use.
NOUNS = listed(
    """
    apple anchor arm army artist baby bag ball banana basket bear bed bee bell bird blanket boat
    body bone book boss bottle box boy branch bridge brother brush butterfly button cake camel
    candle car castle cat chair cherry chicken child church city class clock cloud coat coin cow
    crab cup curtain daughter desk dish doctor dog donkey door dress duck eagle ear egg elephant
    engine eye factory family farmer finger fire flag flower foot forest fork fox friend garden gate
    ghost girl glove goat goose grape guitar hammer hand hat hill horse hospital house island jacket
    key kitchen kitten knee knife lady lamp lemon letter lion lorry market match melon mirror monkey
    mountain mouse mushroom nail needle nose nurse ocean office onion orange oven owl parrot party
    pear pen pencil penguin piano picture pig pillow pilot planet plate pocket pony potato prince
    puppy queen rabbit radio ring river road robot rope sailor sandwich school shark shelf ship
    shirt shoe singer sister sock soldier spider spoon star station stone story street student
    summer table teacher tent tiger toe tomato tooth tower town toy train tree turtle uncle valley
    village violin wagon wall watch whale wheel wife window wing winter wolf woman worm
    """
)

# Verbs with one past tense in use. Of others, such as "learn" or "travel", there are two.
VERBS = listed(
    """
    add arrive ask bake become begin bend bite blow borrow break bring build buy call carry catch
    chase choose clean climb close come cook count creep cross cry dance deal decide dig draw drink
    drive eat enjoy explain fall feed feel fight fill find finish flee fly follow forget freeze give
    go grow happen hear help hide hold hope hug invent join jump keep kick kiss know laugh lead
    leave lend lift like listen live look lose love make marry mean meet mix move need open paint
    pass pay pick plan plant play pour promise pull push rain reach reply ride ring rise roll run
    save say see seek sell send serve shake share shoot shout sing sit sleep slide smile speak spend
    spin stand stay steal stick stop strike study sweep swim swing take talk teach tear tell think
    throw tie touch trust try turn understand visit wait walk wash watch wear weep win wish work
    worry write
    """
)

# "deep/shallow" is asked both ways; "soft>hard" one way, because of "hard" there is "easy" too.
OPPOSITES = listed(
    """
    able/unable absent>present accurate/inaccurate add/subtract agree/disagree appear/disappear
    ascend/descend asleep/awake attack/defend backward/forward bad/good beautiful/ugly best/worst
    better/worse black/white bottom/top buy/sell certain/uncertain cheap/expensive clean/dirty
    closed>open cold/hot comfortable/uncomfortable complete/incomplete connect/disconnect
    dangerous>safe dead/alive deep/shallow direct/indirect divide/multiply dry/wet early/late
    east/west empty/full equal/unequal even/odd export/import failure/success fair>unfair false/true
    far/near fast/slow female/male first/last forget/remember formal/informal friendly/unfriendly
    guilty/innocent happy/unhappy hate/love heaven/hell heavy>light high/low honest/dishonest
    inactive>active increase/decrease inside/outside kind/unkind known/unknown large>small laugh>cry
    left>right legal/illegal less>more loose>tight lucky/unlucky mature/immature maximum/minimum
    narrow>wide necessary/unnecessary negative/positive north/south peace/war perfect/imperfect
    poor/rich popular/unpopular possible/impossible private/public pull/push question/answer
    quiet>loud regular/irregular reliable/unreliable smooth>rough soft>hard stable/unstable
    strong/weak tall>short thick>thin tie/untie up/down victory/defeat visible/invisible win>lose
    young>old
    """
)

# Those of the words above that go before nearly any noun.
ADJECTIVES = listed(
    """
    bad good beautiful ugly black white cheap expensive clean dirty cold dry wet empty famous happy
    heavy large lucky old young poor rich popular quiet loud slow fast soft strong weak tall thick
    perfect friendly dangerous smooth
    """
)

KINDS = {
    "animal": listed(
        """
        bear bee bull camel cat chicken cow crab crow deer dog dolphin donkey duck eagle elephant
        fox frog goat hen horse lion lizard monkey mouse owl parrot penguin pig rabbit rat shark
        sheep snake spider squirrel tiger turtle whale wolf zebra
        """
    ),
    "fruit": listed(
        """
        apple apricot banana blackberry blueberry cherry cranberry fig grape grapefruit guava lemon
        lime mango melon nectarine orange papaya peach pear pineapple plum pomegranate raspberry
        strawberry tangerine watermelon
        """
    ),
    "person": listed(
        """
        actor actress artist aunt baker boy brother carpenter cousin daughter dentist doctor driver
        engineer farmer father girl king lawyer man mother nephew nurse painter plumber poet
        policeman prince princess queen sailor singer sister soldier son student teacher uncle
        waiter wife woman
        """
    ),
}

DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = listed(
    """
    January February March April May June July August September October November December
    """
)

# With one capital, which is known, undisputed and not named like the country.
COUNTRIES = listed(
    """
    Afghanistan, Albania, Algeria, Angola, Argentina, Armenia, Australia, Austria, Azerbaijan,
    Bahrain, Bangladesh, Barbados, Belarus, Belgium, Bhutan, Botswana, Bulgaria, Burkina Faso,
    Cambodia, Canada, Chile, China, Croatia, Cuba, Cyprus, Denmark, Ecuador, Egypt, Eritrea,
    Estonia, Ethiopia, Fiji, Finland, France, Gabon, Germany, Ghana, Greece, Guinea,
    Guyana, Haiti, Honduras, Hungary, Iceland, India, Iran, Iraq, Ireland, Italy,
    Jamaica, Japan, Jordan, Kenya, Kyrgyzstan, Laos, Latvia, Lebanon, Lesotho, Liberia, Libya,
    Liechtenstein, Lithuania, Madagascar, Malawi, Mali, Malta, Mauritania, Mauritius, Mongolia,
    Morocco, Mozambique, Namibia, Nepal, New Zealand, Nicaragua, Niger, Nigeria, North Korea,
    Norway, Oman, Pakistan, Peru, Poland, Portugal, Qatar, Romania, Russia, Rwanda, Saudi Arabia,
    Senegal, Serbia, Sierra Leone, Slovakia, Slovenia, Somalia, South Korea, Spain, Sudan, Suriname,
    Sweden, Syria, Tajikistan, Thailand, Turkey, Turkmenistan, Uganda, Uruguay, Uzbekistan,
    Venezuela, Vietnam, Zambia, Zimbabwe
    """,
    between=",",
)
