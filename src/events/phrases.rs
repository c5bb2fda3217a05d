//! What the ticker of the simulated match says, in Portuguese as the kinds of events are: `{p}` is
//! the player who does it, `{t}` that player's team, `{r}` a player of the other team, `{g}` the
//! other team's goalkeeper. Only `game` uses it.

/// A kind of event: how often it comes in a hundred, its name on the wire, what is said.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) what: What,
    pub(super) weight: u64,
    pub(super) name: &'static str,
    pub(super) phrases: &'static [&'static str],
}

/// What an event does to the match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Goal,
    Miss,
    Save,
    Dribble,
    Foul,
    Yellow,
    Red,
    Penalty,
}

/// Every kind. The weights are the original's and make a hundred.
pub(super) const KINDS: [Kind; 8] = [
    Kind {
        what: What::Goal,
        weight: 4,
        name: "Gol!",
        phrases: &[
            "A rede balança! {p} bate de primeira e {g} só olha. Festa de {t}!",
            "É gol de {t}! {p} aparece sozinho na área e empurra para dentro.",
            "{p} arrisca de longe, a bola desvia em {r} e entra no canto. Gol!",
            "Cabeçada firme de {p} depois do escanteio, e {t} comemora!",
        ],
    },
    Kind {
        what: What::Miss,
        weight: 10,
        name: "Gol Perdido!",
        phrases: &[
            "Como é que {p} perde essa? Sem goleiro, manda por cima.",
            "{p} fica cara a cara com {g} e chuta para fora. {t} lamenta.",
            "Na trave! {p} acerta o poste e a bola volta nas mãos de {g}.",
            "{p} espera demais, {r} chega e a chance vai embora.",
        ],
    },
    Kind {
        what: What::Save,
        weight: 12,
        name: "Defesa!",
        phrases: &[
            "{g} voa no ângulo e tira o gol de {p}!",
            "Que reflexo de {g}! O chute de {p} era de perto.",
            "{p} cobra bem, {g} espalma para escanteio.",
            "{g} sai nos pés de {p} e fica com a bola.",
        ],
    },
    Kind {
        what: What::Dribble,
        weight: 24,
        name: "Drible mágico!",
        phrases: &[
            "{p} passa a bola entre as pernas de {r} e a torcida levanta.",
            "Chapéu de {p} em {r}! {t} toca a bola e sorri.",
            "{p} ameaça, para, sai pelo outro lado: {r} ficou no chão.",
            "De letra! {p} deixa {r} procurando a bola.",
        ],
    },
    Kind {
        what: What::Foul,
        weight: 24,
        name: "Falta!",
        phrases: &[
            "{p} chega atrasado em {r}. Falta perto do meio-campo.",
            "{p} segura a camisa de {r} e o juiz marca.",
            "Empurrão de {p} nas costas de {r}. Bola parada contra {t}.",
            "{r} avançava e {p} preferiu parar a jogada.",
        ],
    },
    Kind {
        what: What::Yellow,
        weight: 15,
        name: "Cartão Amarelo!",
        phrases: &[
            "Carrinho forte de {p} em {r}: amarelo.",
            "{p} reclama mais do que devia e leva o amarelo.",
            "{p} demora na cobrança. O juiz não gosta e mostra o amarelo.",
        ],
    },
    Kind {
        what: What::Red,
        weight: 1,
        name: "Cartão Vermelho!",
        phrases: &[
            "Entrada dura de {p} em {r}. Vermelho direto, {t} fica com um a menos!",
            "{p} perde a cabeça e vai mais cedo para o chuveiro.",
        ],
    },
    Kind { what: What::Penalty, weight: 10, name: "Pênalti!!", phrases: &[] },
];

/// A penalty that is scored.
pub(super) const SCORED: &[&str] = &[
    "Pênalti para {t}! {p} desloca {g} e guarda.",
    "{r} toca com a mão na área. {p} cobra no alto e converte!",
];

/// A penalty that is not.
pub(super) const MISSED: &[&str] = &[
    "Pênalti para {t}, mas {g} adivinha o canto de {p} e defende!",
    "{p} corre para a bola, bate forte demais e isola o pênalti.",
];
