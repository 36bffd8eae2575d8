"""ta-lpo-invaders: TA-LPO, a drift learned on short lifetimes in SpaceInvaders-MinAtar; knows how much time is left

Origin:
    origin: rulesmith
    method: ta-lpo by open-es
    environments: ['SpaceInvaders-MinAtar']
    horizon: [10000.0, 60000.0]
    seed: 0
    generations: 99
    command: rulesmith discover objective --rule ta-lpo --preset standard --minutes 60 --devices 1

Evidence:
    return in SpaceInvaders-MinAtar after 40,000 steps (its own environment and range; ten seeds): 15.64 ± 0.69; tuned PPO 11.80 ± 0.64
    the same, a second look (sixteen seeds): 12.88 ± 1.03; tuned PPO 12.26 ± 0.56
    after 120,000 steps (twice its longest training lifetime): 20.26 ± 1.00; tuned PPO 18.65 ± 0.45
    interquartile mean over three MinAtar games, two of them not trained on (0 random, 1 PPO): 1.071 [0.982, 1.194]
    interquartile mean on CartPole-v1 and Acrobot-v1, not trained on: 0.900 [0.744, 1.038]
    conclusion: not shown to be better than tuned PPO: ahead where it was trained in a first look, within noise in a second; not better elsewhere
    all returns: results/evidence/invaders-minatar.json and invaders-classic-control.json, with the commands; network-copies.json
    looks at these environments: 2

Written by `rulesmith export`.
"""

import base64
import math
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer


def ta_lpo_invaders(apply, *, total_updates, steps_per_update=1):
    """Return an optax transform that adds the objective's gradient: chain it before an optimizer.

    apply: function of (params, observations) to the policy: logits, or a pair (means, logarithms of deviations).
    total_updates: rollouts that the training will learn from; steps_per_update: gradient steps made from each.
    Update with tx.update(gradients of value loss and entropy, state, params, batch=batch), batch having `observation`,
    `action`, `log_probability` (of the action when it was taken) and `advantage`.
    """
    return adding(
        drift_gradient(
            lambda ratio, log_ratio, advantage, progress: learned_drift(
                ARRAYS, ratio, log_ratio, advantage, progress, 0.0
            ),
            apply,
        ),
        total_updates,
        steps_per_update,
    )


ARRAYS = {}
ARRAYS["hidden"] = np.frombuffer(
    base64.b64decode(
        "7cd+PIKpzr1HjlU+Qb1YPXEJqL42YzW9fDTIPu3htT57B9C9J8devrkwRL2YEcG98NXhvn06gL25"
        "Hr++9WtJPE1ZQr7ZmES+kBBoPudsoz7cUoa96a5OPir+g76CJmO8EyzJPukD2jxJv4O+UcHVvpK/"
        "0j2Oisk8xsAnvjk5gT3oLdO84RInPpUYIj5cCic+wWClvpvhFj2jGkQ+/4m4PsiDmr6dPx8/+Obv"
        "PjcIorxzb549hsKDOpKKfD5dmt4+g8HKPnsnnD7bs1C83q2mvsI0jz25Ay4+7GfXvky5U7yMQMi8"
        "TOaUPEy2n75374W+b1hCvrNN7b6F7uU+DlGavgoZvT1jY2o+2jniPtQTiz5P4E0+aUMhv2mYpr3a"
        "wrU9vYWUPhCbUz1zD8A+IuldvvqnJb0aKo09boSYPfY27z42SNm729AMvkoMhr2vCFM9j2PcvhG7"
        "/D2R1l8+zPtOPqAIUr7qSao+EC64vmil2j6Qw6e+RRWDvbwBMD4E87U+cJPIPai9+71cQXe+Xm7z"
        "vizcCj6XldQ+T24WPapg+75rk6g+eJCUvhjAS75zscM96vgPv+8gyD0Hw8y+82mUvTUYA76DW469"
        "AJdwPhcENb43+i4+ko02PuxzPT7sFcQ+olmzPe4sgj0+G1g+YYnAvlE4YT4FONK+YLgcv5+so732"
        "Lgu+OFelvetCor6RHYK9yaM3PQN9iT7BqM+9hb1SPm2ymD5OO4c+nbM5vxt/SD4RlJ29kNLYPXzy"
        "rT7StdS6LGjOPfJ5Vr500Pu+ioHFvcDdVL7MZko+RnNPPLRlkTzpW/m9euvIvT6MZzw4goW+NChU"
        "PrBZ0TyY+n6+bsAAv8+Jyz13Lie+CnA8vnXV6DxdTMo+A9yUPGcheruv5Qu/qPwOP4meSj6fE8A+"
        "mfeYPSEjdz5Mhxo+3z/EPFgdBr5C1p2+5N82PnjE+77P8QG8qympum1pp74aCzI+8mHFPa/JVL5t"
        "Fok8k2Z0PAyXWj4by549afZjvkzpG784ur2+fFKnPhc3B72Us7K8Vfe7PoDJH77aeYW+2UUnvdPR"
        "hD4DcWW+9eicvraxo75UX5c+JekhPvGdQLyAqOE8B/zxvroPyb2q7tE+wbQGPsquFD9BKJG+nj7B"
        "Pny1Lz4rglg+RyfYvAOpl75RbJe+gBttPxwYAb4QZRa/F4GMvb7nMD6zRf28u+MPP5erDT5xVOS9"
        "sXpMvgiJfb54RIe9nH/LvvccxD5EzLE+wob1vg5tu75w9+q+bCyWvk8VW7+3yZe+ShZsPnCERL6o"
        "j9Y+2rfyvan8Iz9dIIG8ynhHvgz25T4NAQe+niVqvivUoTzPmsI9wSqYPkmTar6/R5A+8E6RPpdS"
        "Fb7nuMg9gjOdviREJD8zIMc8iLCevv77ib4LaJK9OG5aPsJCWT4TXZC9tyDNvUpN/b5JGhK+Vc5k"
        "P/VGRz6IpAK9EyfbvrWkyb4i3569GkQcvD9OC76sFR+/0Xc8Pi9oaD52ZRM9LWGEPZwUDL33YjG/"
        "ro6XPaRuxb4PNQy+HB/bulJcIj7MgYK+yGLDvrCT/D08IQ4+yfBFviuQhT5ZjbM9ofZzPXJEDb6O"
        "HEU+3liePoywiz5emm8940eHv+yOLD1+yya+ye87vs7pjr65Jug9SfL0PTyb2r2etru9vLx/Pj/V"
        "ir5bPm0+Cv7mu6XoOb547Jq8yCknvsz0hz5roHc9AqbQvPNik77GTfQ93BrDPiuE0bw7Lm4+UlAQ"
        "vtChBL2BomC9r6rXvZf2xr4UCBI+46hrvc75bz6jzo+98BWCvC37JL7GXao+2TP7vrDVxb5RjAo+"
        "avm3PlgH2TyxmXI9Nmr+viMOFr56NPQ9JWvnPqNazL0F0Mi+gIPcPmOazb0ShmO91Ev1PjHEpzxb"
        "lEG+UGF3PJbJAz57KlM+2nWyvr5erD5JzNY+ZQltvQ/SnL4jPrO97NarPbWDsr7ZkRq96KooPqoY"
        "cT1l5a88S/sfPicVTT4B43y+RqV+vu6DWT5xmAc++YQyPhhmoz76R3u+166/vqyIyb7Vmp49sqkb"
        "vpLFO76D0Zi+BUwLvmgUgL4L4lw9MrgQPg77gjy4HCu+QAPwvSDnl73r1V4+LMDFPn8ZX779tsY8"
        "nhKYvB+i372ZSZW9uHMTvxC7Ez/t/fe+hGJ8PgYIX77rAaQ+SAkgvnKGZr1/3yK+6ZjBPujAnr5Z"
        "nDS/UrzhvfQxdT37XT88+6S5PpPtIj6JOQI9UBhrvlw9nD6Rbkg+zXIsvv+5KD/OD+m9bquHvmv3"
        "gDvsgMQ+cJjGvbOMuT6Xwo2+8P1dPrv/gD7WQRq+MGBCPmh94L6+e4M+W/lhvTw0IL4ZKTU++76i"
        "PszY9z0ej9Y+HSkNPmecoD6CfYG++zZPPfXgZD4CUj08PWKlPDauKj28qek90vK/vW5JP742QFC+"
        "k2ycvvzLaT5u+/C9HJiEPqrXv77GpP++mKbavaRVqz6rck4+je9dPvUFQ74Sigi+FjAlPUMNQjwq"
        "tBi/hbRlvamMhz2164k+CRIpPtzcrz4rRBQ9L1Agvc93Vr+yUpi9jY5mPu33fT68glS9JHq/PN00"
        "lb6Jv7u+4rkhvZFgaL0pHOQ+ErIFvfwVHL59S3e7Dh5NPF51Nr2O7oo+panivkQTw70les898S3S"
        "vlcWID4VIME+aByGPqZG6b5QHo6++fPCPiIQDz7JmfS98bRvPtXCDT73jmC+cj4nvSNCnj2fHKK9"
        "3H0cvsyyuj74rhU8n4LlPmjAGz/F78q+956DvXehgj5wUF6+wg5bvKQUKz4FePo94mg4vgkhCT/9"
        "VoI9DysZvlVr7D7A81g++01aPpft2T36JQA/PIRQPvArFr7iy+O+bLEwPtV4ur7kJdq+jqAnPlDg"
        "zD3G+zQ+ovovPuMF7j4okqu+eFZLvRL7QD687B0+uFgvPbZnRjx3WtK9SjZfvW6jbz3Gi2O+FtMT"
        "O44/6j1c1RK/LpGMO4h4fz2CVhi+VgxYvbkMGz4Pb8k+exVhO93+hD25Tr4+6LW3vGWNqj7lRWe+"
        "5Ls6PnepST6evkk+nBy/vl45S76JBrU+q3gCvtx3hb24PpS9zQZBvnyjAj9TCby+09SAPVGCvjxW"
        "TUo9b8dRvoevg72XLuM9V4advq0bPj6ljNK9uhFTPYi3QT3GzBu+XVgsPmOaxj0L+52+ZcUrvs0u"
        "476Fsnc+alvGvuYShL7oxFu+DXkOP4jBWD3eZ14+r1NHPg+5Lz7ymZ++2BE3vpdtAj4zx5A9sLbR"
        "vboLDzy9BTW+n72Gvh7oQ79N/be9eYsUPhVSwT4JUco+Pdwkvq3RwD5Yh48+ZjvvvcbLzr71hRM+"
        "3y/8vtCWob1QHao+IPeQvu9GP75SkoI+gullPht9GT7s1hM+jDSnPodufr08QRI/aljFvR81B72O"
        "wxU+38YWvuyDHr5wVAy+tZ4jvwuH0j03srK+O846PmJuvT7eBpC+iH0bvjODuz6I5b89BixrPvZY"
        "rr0WAx0+2oigvuvag741ogE+VshPvdC2Mz5+Kv0+hoGYvtNmc76I/KM+G3sBPga4PD5Rah6+yP8R"
        "Pi4Ki71qD1C7QAk3Ph5qn74TRWW+kC7UPlaBuLzWxB4+BjIFvodpwT3PM1y+aiJ0vklykD582EQ+"
        "VFKMPtTJB7/GJLA+Gy/APBIff71l6xG+SjgpviEey767I1G+OaQCP606lD6UMHC+AgYQvQHYej7s"
        "quy91/y8vs7BlD4kN5o+BrAmv81xEb6+7+o9z2MkPXxmJL1ZwKy9XQN3vOFuHj6Y3ie+BaOHPQfT"
        "xT6bmRm+WZHFvRKtJr/vFAU+XqEdPoc4eT6t1Io+xp1IPsyWvD1Haz4+ZrqrO6O7vT5ljIs9KyV4"
        "vomdIT4k7Qc/zCq8vZT/Br2hxzu+4gcTvuwQGD5687e+rRubvi1R8b7ZLj89ezOEvrvakb6CgX++"
        "yjuePjrKKD6+ogm/wOqMu+B4uL5+O0C+/byGvvRzsbzKsTG+BK0DvgWPUzwPEJs+PnKkvkb+xD7Z"
        "9Z8+tXVPPl8WSj+HbpU7bF4hPvTgZr5QFVg+LENPPjYekr0RgKo+Vcq0vIDFE72U0om8Qs25vOwm"
        "hj4e9Gc+qH4sPosySb/TfJo+wtsPvlzbpb4Gofw8PJOFPlzj1L7QdUs/LFTFvUe9Bb9ysLe+CyLt"
        "Pp2FQL0Ehmm+Bw6PvevmKz0wtVa+oAW0ve7RVj4nJ3Y+UCIgvrzsUT32RJs+A948vva9RL41iwO/"
        "r5p3vm0+er0i0Xm+y+g4Phg23LzAb6+7kq8AvcPEAb0h8w09LL5fPSW8CL4Uotw9rqM2PeoFKL2p"
        "RZw+Y+clvtKKab2COo6+tEdZvfkUbLutnuI+VfqqveLjxj6zTC2+yx1mvhseHb5VINS9x54JvtXf"
        "qr3LufQ8ql0wvOP9Ib7v4uE9aWtDPlBH0L4opVA+HyJbvePrCj1IYM08Sv0Tvj2BUr62McY9Fqag"
        "vqBisD2+oPU8y8S5vOEb57zhNZU+R5riPSZJOT4nMgY/FiGPvFHfsD65x0a9J6LIPf3wFT7KYYq+"
        "8PYkPjbx3r2qIqa9rDRjPtavKD/xVqm+dGUbvwmwfL3D5fa8QqwTPppTib1X8K4+16O7PBozeL57"
        "ike+oC2/uBUsG70hyZG7jSOWvkLVGL4UmTO+dzoEPoXmSb7K610+4HrxvZ8yQj0W+iY94HReO9ku"
        "AT5kQYU+AeVyPnDUDL5qXLe8ABZrPpooIj66z02+akcHvcnyIL4w3IC+ZaIdv/1zI77AIoE+myyg"
        "vuQ7jD1OTIE+XrG3vVFFwz4GIrE9Ok/ZvkMzhD6t0MS+6kS5PBNzlj1DXE2+wOI9PtyXij7HYBO/"
        "Uoz3PQhAjb1/gvK9Qw/RPVdMxD3DqX68ryLQvatv1TzFnyu+5TmDvh+rBr4XEfM9ri25PJgtBj7G"
        "4s6+EuUmvmvtzb7p9g6+U5p5vrg+0r6hQgU+V7MDP5vKnz0Hjae+RPyaPfbbsr5CRTK9RIAvPgGh"
        "xT1xG2O+E5JQPq3xhT5tWaY+/kY9vuRkNr7cm7e9xrkdv5I6sb4Ye3s9Z8Yzvu6oE7+JZvO9fiIo"
        "vhlcUT4MtWW+y3AuvfI4hj2RB849HtvVvq7i2L2F1i4+GROzuF2E6L5t1AE+2mSAPpXgB74flfi+"
        "BB1uvZ6XHD7FWVu+oirsvkJ4RL7C4KK9usySvQt9o73XO/I90w3XPdRw8z5xMCQ+wGjivt9cFr8U"
        "+VY9GNL3u7cY4r6nEn4+xCA/vm2Nwz09k0c9qyFaPbn/wr5euga+EiveveVr1b4TVD8+hVhJO8b4"
        "zz5Xfa6+qb5Uu+v49T7SRDw++g+muZomqD1vyYK+BeVQvtHYsL7xucs9c1UpveXg+Dug90q9z80W"
        "viDoj7sxpCe+wAgUviQ7ZL4Woaw+u5thPjCIFD7Te7o+WuvHvkM1RbwV6P2960yMvme8xbxCrI8+"
        "MVX0vqey0731VbA+CLiwvta/nL3rTvm8mH+Rvt3hCT4mXj4+y2IevoE63T1w5yc+B1jxvnBIjD72"
        "65w+Z+62voOAWr7viE8+MoQ3PLsUv77tN0k+s+3SPEyU/z58Co49aBGtPHcbUz+HXdk9ewgfvmjS"
        "Dj59EWM+3qHMvgEccr6tPWQ+sYUzvzFMib6eQm8+L3ZeviUVs75r4PI+21G+va42Wb3pigo9EWYB"
        "vpjJrj2dKXI+wwUavUrLMTz3dtA9slEUv9ouGD3WOI6+dWUFv7NTCz/jjQm//1YNPh2F0r0WceO9"
        "XqzyvYw3cL6GmUq9y6WFvVOllD5QcsG8lMADPxdv0T736vI+5v3DPcbalj6D3ik/5ILlPovisL2k"
        "lWQ+Hi9zPuM3vT1oFmw+bI60PXxPhD4PbAO+TrhvOhVpjj4NQkM92ttZPuFRWT7AgM0+ag+KPjI9"
        "Sb3SltQ8dMK4vlnF/b13l7i+OnvGvdxA3j2FKpO8tdcrPvcjvj3E7ZY+OOsKPjSK1D7W2k8+Qzr/"
        "PRPUkb7qk0E9pfq1Pl6Xnj3jbJy+ddmCPuS7PL4obno9MV1LPRkoIj4GySe+SV6HveqV9bywdfw7"
        "Lco5vVBILrwaScm+rcU3PtEfkj4wMRW+gOzPvo0K7r0KG48+H82cPWj/ij4yZxg+nOyHvjnqSLyH"
        "mII9H57PPPVetr00Azu//hocPKa/xrzShr++C5EAPljRwbsvWl0+HWZTPl/Tyr0Kjg0+fC85PphM"
        "tT5rFc0+5qHDPZ9Fvb5VxQQ/b3nBvfNjgL49dvK9i33nvMm6ED5Lfpo+4DBWPk7Pmr7Uxsy9zeRY"
        "vrog/D1k5gu+5NpRPv1EHD1HEra9rF+2PmKs+70DjXs+zErUvpNLVb5WK66+kjm6vkGMCT5dsCo8"
        "EyYNvaHmg7yP8oa+OCYIvxLyCz76sW0+/nvvvOdYl74AYum+JQ0lvvCKAD/Jb+29eXvbvSdZfL7D"
        "/3C+EZfIPdJBBb7i3fG+uwBrvO1MOj1Hou89cMZPPt2A0T0hqAC/NzCavr+FAr4wzpu+OztfPuo9"
        "j73SwUa+5w6gPoBHiLyFN+Y+jMecvnUszD68R9E9bA1sv9EZuj3I2N8+HkM8PrRVPL0tgta8TBrh"
        "vszCOD7DZve+2VcTvj/yxj4LBsk97cgSvR8D/7w7rgs/9/2MPlXVMb7GlAo/1va9vRLyTD4Ja2K+"
        "PspSvp9pNT44LqW9a8SLvj9qLz7+Y4q+XZrMvhq9nTwKGqC+GOjAvXbaP74WkEu+efw0vr6c5LzS"
        "+5I8JYb4vXeLjz78i5s+tZEFvznkczzwkt0+PALpPRZAjz5NTFu9+X5XvjmfbT6ki488jIq1vMKd"
        "gL4slSC/2rdbPnRULb74dYe+BG83PvShBz5Lcfo+nlXtPlLizT7kmTi+6G2kvuPuPD/KA4K+XGzZ"
        "PVotgT6wkf4+QPOFvRDSwL1zpZu+Z1qTvgsPD77tbWK9ZQ8ivXxtc72Qlho/qFz1PX60DD5l68G9"
        "1nYLO/vVOD7FJay+ixYAvXu+Zr7iVpY9XfKMPethwD7+RAg+huzQPUdytT6DhYs+Ni2FvfSz0D38"
        "6f2+EeA1vX+j0z0Uktu++x6QvbGjXj7jNwC/6f6WPnormD7ynJ+9SxbZPejMST7eTPe+DHgOPxT0"
        "K77MQ0G+/WugPgnJHz6R8rE+aIUaPhF+hLwqdlW+VUS6PdLLlT7vMH69h+TivqoiwT7Zc8o+ek5b"
        "PoZOAL7ncgA+cJgIv7utJT+5kzK/2PFRPRJ48j1QE6g+O9gFPkl/sb4PmqA8cVVQvOWpTT5+MJs9"
        "FhOEvY/mFT9CIxY+WhRUPT5RwT6B38S9UauVvQCTCj6vaw+//RSmvReLjr35log9kXgSPagqob4o"
        "SOQ9SY7aPhwhar6Exl49BCUBvicVBD+Es6W+T1ORPlww+LxdHMc+JYBGvJ6MAj5TN5m+Z3POPnYJ"
        "Nz4L9Li+rfJMPazVQL6Awa++WxHyvvprmz6z/GA9Tle3PUMg0j6j86A9epDhvKRGgj7Bz5u+5Ug1"
        "vlKRz72jWI2+z7rfvfW+gT4DutI+CiRkvrdIvrwNvCq9Lb1gPrk/PD6tcym+BilVvgJtez2poDQ+"
        "A5Y3vmrkBj+k6x++7VluvtzoDT6Dy6W9ckPTvnAKMj1vVAQ/RoLLPh33rbx34sc+jiQ8PgVWcD19"
        "x3A+sjRwPf1FHz7KMIK+6aZUvo4eCL64+Do+0nxBPoLnrz4gWSU+EmQfv8/scD6dw56+zXSXPinY"
        "Ez7HCwM+aYPsOz7MsjwPJBC/9QsIPnp3fT1geR2/bVqVPl+Pgz46bUG+WN7CPu7O3r3hqhW/djCo"
        "PEsMez0L0rY8M0SzvMDtlT3Z3aC9WONyvlc7T745WiK+hFOdvbPWqD1HJSK+tPwtPf8+ED4ZXeM9"
        "m61JPS9jRr3rhmM+8jE4Pg4Wvz2p0uq+Tb1kvsCAaj785GM+PU7DPvuZ5T3FjGW+nUEXP/kxH775"
        "AzQ+9uFGvb03wr74u4e9612TPnMbHr4nSFq+zwy0vZEWfzzWoaq+VcZYPr+utj5j8u885o4EPr0L"
        "eb77gMo9duuKPVtL+D4yC8s8B4ZhvrV83D03GVm8YJUXvjvLk76BtmW9Z8NTPr6LBb0oH9C+YYwQ"
        "v28XmL24LUS+C9jlPn2ZEz6Afeg+e1KqPcT7Dr4Q6VY95D97vY61xT4SjoK+B+QbvhLGgT7eh0Y+"
        "Z8+JvspYcD48ywo+/4FDPhNPsD2ad/o9KEqWPtODXr5uKTS9npBtPj8nOLvQ2co9OA2VPlCjAj4n"
        "YH6+rAfDvq/TAb9LON4+Bfm7vr6n0L1Lmn09a6AKPbf+gr6h5uu9rOmcPjnRyj7SMwc+vrRQvbua"
        "6D74YPW+XtGWPjjM0T2jbzc+l1wDPv+kgD1BP6U+hbKjvswMpr4eoZq98OkkPiPsLjzY2Ac/FfZK"
        "vUHq5TzU3A4+2RIHP9pcvb4IDUy+cdprvUjBVT4BbZW+M9vKPsI5wD4jevs9P5MdPaKZwL5vsYY8"
        "0ffmvmYP472TxhS9F38svgHmuT4VipY8uSexvitNNr6HV5y+O+9/vS8xaD55ss68xZAOPk9L277b"
        "sUU/+9DDPdMzLT91cqW+gzgtvQqCAz9FLZK+m2kSPr3p7z3uK4C+el3SPmfPyL5dwkM+VV+dPiXB"
        "8L6Jlrq+7XGrvjScA75LZZG9qQigPIkljL27Ql89fR8tPg4iBT4LM289xDSjvulVjT1Bb629bukc"
        "vfrsFr7KjK8+sC4NP10Zwr0WlP6+tMRsPtOUqL4+3jM+Oc/lveixHT/RQyC9sICdPn4IKb6dt2S/"
        "Et4PurLA+z21Lr0+FdiSvtxKkb7+KgC/j4eYPiIbxjzDaYG+CLervQJ3IT014+G+Y+bFvL5NjT7N"
        "JIG8NUjVvsB6g7xFCsU+8kMDPzySnD0+8Ny9oZ0Uv3/qj76a3s89vr6JvebjGj40dqO8SGluvqmo"
        "pb5LO8E9Kp1Wvcpsgj4vM7K+dDjjPux0Fb6Zv0I9bCHWPTh55buQpMK+ZGyUvivQ5j6A6YG+59gg"
        "v5iiZL1I7Bu+koYNvmR2Fb5Vgf+9Nqlnvm2KJ7yW1L09Dn+GPYt0HT4RrKI+VvynPoKXJr+GFWu+"
        "HhDSvlbYh74HKmM+NZ6lPQI+JL68WeQ+BNWqvsxmJL6+AG09xTUGvcxepr4kXzY+tlunPrTeOD6C"
        "qve8OxEtPsmenT0R/+G+28OaPNJ8qT0HayO/Lm9PPm+n1T0S1La+9mRPvkfQSz0YZOC7Ko2nvWP8"
        "gz5AnUC97j1dvVzM272G5uA94AUgveM5tTuIEhW+E3lRPdrWvTzTEzU+45vRvSf/hj6bwRW/y1Ww"
        "vQIBtL3AxRu8+RUIv1YUdz6YdHo+rOK9uvl7VT7ZKHq9jadMPgAq4z71QVm9nnpSPwCykzzzIGc+"
        "Cs2qvuB0gr1KI76+vEMzvqyirT3eiTI9IgyqveJ5IT6/LYi+EwmsvhuPyD1EKyC+STCUvioKoD3T"
        "7z++S9zDPSWK3TzgJlK8qfS1PLvNST4yhas+D6wxvk7vuL6GIK++NZy2vstzx76Gtga+vCjIuxpb"
        "AL9BsLQ+heD+PdUHdj6sijO+jwj+PZ7IML5Huro+yKZ5vkjnsr1475E+C30dPxaS0bqv3Qi+zYJA"
        "vy+NBT9jbLw9FWwlv326GT636Gc+4SANvkV+t74E54A+ZDyivF1gUz4WMi89aBVGPnMaOj5ltZ4+"
        "rkckvuAB3r5AP1A+m/xwPtk0Hj79xZg+OTZpvheMBT7Wyy6+l45WPRCHPz448gq+USAIP29t2j4M"
        "6ZQ+EIovPRxZrb7L8Ou9ozZBPn1SPj1NuH8+ts1SvsEXgzwU0yY+LLr1PqXUvbwhhMu8yAVjPr/z"
        "Pj4kDpi70WdVvjTqsD4PxMe9ahsSvi5eWD6JcZI97XJJvihRWb3Utye+SmLXvagH+D2wvGK+aSD0"
        "PTXenD4xSeM9lLLFvpzH/rz1biY+fbRQvncwVz5D+US+TpGwPkRay75HUk6+AKEhvgpYvz2WeYG+"
        "YyVCvtlAG74qPhq9TRoLv+B+9T0aVBe/s5iKPnRUd71UmqY+dsOpveMAM77KV1Q+lPoWPmwJ074/"
        "Zaw9mQCCvrJuZL1LMoQ+wRe6PYycTD4AuXq7cFL8vcM7570r5qc99jkUvlrclbtvIfg9wDS6vnTj"
        "5z4pUJs9HyngvvQjVb3ly2K+2mBgvp4ABr4ZhsM++AYav9W9Eb56q9e+IRx8vfxbML2BPdS+2k+g"
        "Pt0ffT5x7gG9Xuc8PllnJb6EnvE9V3BKPtuUJr5c8t4+U2ESvpUJz73RYb8+GK8NPuo7Or9/xk+8"
        "59FDvsP+176kSaG+8xuXPk35v7797+m+Q6WlvUpJVT7ly+m9nKTbvn6LFL/WOkG+IERdPveniD6N"
        "v0w+YhgDPo5z0jwwFZ8+XO6KvqpuQD272yS/2wK1PTs4Cb4sIb2+Mk6fPin13L1RWgi+rUQKPxkc"
        "br6D6A++9xyhvrkXmD4gjgy/4anhPlH9Fr6msWK+l9HRvuVn2T22XYA+rcF2vjXRF74rrje+5S6G"
        "PpQ5Hz4i/DO+iWhXPkF4a7xu6ca+drUGvxHMgz3psts+eqIdvuluJzsxn9Q+WCW6Pjx94j3fsrA+"
        "sdaAPiIUNr6cTRa/Kj18vmW33T1ZZkk+gSjpvZ7iZ743yr6+3qsEvw7xbD4ckKa+fxmUvYQgyr5C"
        "s/872ln0PoVUlbwH/xm+Ju9EPd9Pz77HWug+WPiLPkl4X74HVxg+tBg1vg/hkT1ht4u+DnkxPnHI"
        "pD6bGEE+m8fUvXkdoD5XbQg/Zo7/PHWNp716SaC9QcXDPWGpAT+xRLy+r79nPoDJLb0FCKw+JaW0"
        "PIZmK79DAgE/8kyFvjolLz2IjqA8EzITvX858j1z3rK+d93oux2fJj4="
    ),
    "<f4",
).reshape((16, 128))
ARRAYS["output"] = np.frombuffer(
    base64.b64decode(
        "+YxZvNzhsz35rBC+NRZOPeKALb6Se5Q9hyY+Pj0fhD22k5M9HhkoPs82RT4FSrW9RKnxPQ9NIz4C"
        "p7e9Ayz8vNyMOL4WbrW9RVtsvt+I+Twk7R++KmknvZdFaD3J1Yi9PtmzPdaFRj0e4LC9q4UVvXjc"
        "Mr2x5lE9JVDyvfQ/Lr0g6iA+HO+qvWuzBb7lJns9QBO1vfb8dj6eGkC+CgprvtN6Ez5egc099hNI"
        "veUkB74h5Js9HRUJvefe0D3uC8A8xVIVvkMM9D36hAY+U80JvJv2GD0R4fu6ZJmjvSFr7j2gVZm9"
        "OuAWPY2v0j1MPwo+sJ4yvhah0Lr9hvC8mNADvg5CfT3vSAS+SuG9PDDACj29HxK95ZymPaMOWD28"
        "bY89AkDxPKn32r1qXNm95uA5PEWMVD0FDCi9UZgxPte0kr2eY6I9/BmOvbKylL1Buam78TL9vT6U"
        "vb09cIo9Xd0avgXRST2z1uW9zkUPvoWxA72yxlg9iM7Sveh8MT0SMxW+3+ZevSGCUT2U6CC+cksU"
        "vJe2Ij6lWgo+q7hyvG5KGL2ljQ89oLQqvY782z1RXXI6bUhDPVu15T15ORs9R20KPknBVr05Ffc8"
        "ZERxPRICSTr3Dl8+UNShPczRJz1ZeRa9TJ8Ovp8L6jsHtKM8XavVPAJ4Er4Xaum9n9HtPavaID0="
    ),
    "<f4",
).reshape((128, 1))


def log_probability(policy, action):
    """Logarithm of the probability (density) of actions, (...); -inf of an action whose logit is -inf."""
    if isinstance(policy, tuple):
        mean, log_std = map(widened, policy)
        z = (action - mean) / jnp.exp(log_std)
        return jnp.sum(-0.5 * z * z - log_std - 0.9189385332046727, axis=-1)
    # A sum over actions: its gradient needs no scatter.
    chosen = jax.nn.one_hot(action, policy.shape[-1], dtype=bool)
    return jnp.sum(jnp.where(chosen, jax.nn.log_softmax(widened(policy)), 0.0), axis=-1)


def widened(x):
    """Return an array in float32, or as it is if it is wider."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def log_ratio_of(log_new, log_old, policy):
    """Logarithm of the ratio of two probabilities, without a gradient, cut so that no power of the ratio overflows.

    It is cut at a third of the logarithm of the largest number of the policy's type: at +-29.6 in float32 and bfloat16,
    at +-3.7 in float16. An action that the new policy forbids is at the lower end.
    """
    dtype = policy[0].dtype if isinstance(policy, tuple) else policy.dtype
    most = math.log(float(jnp.finfo(dtype).max)) / 3
    difference = jnp.where(log_new > -jnp.inf, log_new - widened(log_old), -most)
    return jax.lax.stop_gradient(jnp.clip(difference, -most, most))


def drift_features(ratio, log_ratio, advantage, bound=0.0):
    """The eight inputs of a learned drift, (..., 8): r - 1, its square, log r, its square; the four, and times A.

    Each is clipped to [-bound, bound], as in LPO's original search, unless the bound is 0.
    """
    four = jnp.stack(
        [ratio - 1.0, jnp.square(ratio - 1.0), log_ratio, jnp.square(log_ratio)], axis=-1
    )
    features = jnp.concatenate([four, four * advantage[..., None]], axis=-1)
    return jnp.clip(features, -bound, bound) if bound else features


def learned_drift(parameters, ratio, log_ratio, advantage, progress, bound=0.0):
    """LPO's drift; TA-LPO's where the network has 16 inputs: the eight, and the eight times `progress`.

    The network has no biases, so that drift and slope vanish at r = 1, and starts as PPO's drift with clip 0.2.
    """
    x = drift_features(ratio, log_ratio, advantage, bound)
    if len(parameters["hidden"]) == 16:
        x = jnp.concatenate([x, x * jnp.asarray(progress)[..., None]], axis=-1)
    out = (jnp.tanh(x @ parameters["hidden"]) @ parameters["output"])[..., 0]
    clipped = (ratio - 1.0 - jnp.clip(ratio - 1.0, -0.2, 0.2)) * advantage
    return jnp.maximum(out + jnp.maximum(clipped, 0.0) - 1e-4, 0.0)


def drift_slope(drift, log_ratio, advantage):
    """Derivative in r of ``drift(r, log r, A)``, elementwise."""
    ratio = jnp.exp(log_ratio)
    along = (jnp.ones_like(ratio), 1.0 / ratio)
    return jax.jvp(lambda r, log_r: drift(r, log_r, advantage), (ratio, log_ratio), along)[1]


def drift_loss(policy, action, log_old, advantage, drift):
    """A loss whose gradient is that of ``-mean(r A - drift(r, A))``; also the logarithms of the ratios, (...).

    The gradient of r is r times that of log pi. An action that the policy forbids, with a logit of -inf, has no share.

    Args:
        policy: that of the parameters to train.
        action: the actions taken.
        log_old: the log-probabilities of the actions when they were taken, (...).
        advantage: the actions' advantages, (...).
        drift: function of (ratio, log ratio, advantage).
    """
    log_new = log_probability(policy, action)
    log_ratio = log_ratio_of(log_new, log_old, policy)
    advantage = widened(advantage)
    weight = (advantage - drift_slope(drift, log_ratio, advantage)) * jnp.exp(log_ratio)
    weight = jax.lax.stop_gradient(jnp.where(log_new > -jnp.inf, weight, 0.0))
    return -jnp.mean(weight * jnp.where(log_new > -jnp.inf, log_new, 0.0)), log_ratio


def check_fields(batch, shape, fields):
    """Raise ValueError unless the fields of a batch are there and begin with the right axes.

    Args:
        batch: arrays (of `observation` and `last_observation`: trees of arrays) by name.
        shape: of the field that counts samples, and its name.
        fields: for each field the axes that it must begin with, and how many more it may have.
    """
    size, of = shape
    for name, (axes, more) in fields.items():
        for leaf in jax.tree.leaves(batch[name]):
            own = jnp.shape(leaf)
            if own[: len(axes)] != axes or len(own) > len(axes) + more:
                raise ValueError(
                    f"batch: {name} has shape {own}, which does not fit the shape {size} of {of}"
                )


def drift_gradient(drift, apply):
    """Return the gradient of a policy's loss under a drift, as `adding` takes it.

    Args:
        drift: function of (ratio, log ratio, advantage, progress).
        apply: function of (params, observations) to the policy: logits, or a pair (means, logarithms of deviations).
    """

    def gradient_of(params, batch, progress, total):
        check_batch(batch, ("observation", "action", "log_probability", "advantage"))
        old, advantage = map(jnp.asarray, (batch["log_probability"], batch["advantage"]))
        shape = advantage.shape
        fields = {"log_probability": (shape, 0), "observation": (shape, 99)}
        check_fields(batch, (shape, "advantage"), fields)

        def loss(params):
            policy = apply(params, batch["observation"])
            check_policy(policy, batch["action"], shape)
            return drift_loss(
                policy, batch["action"], old, advantage, lambda *x: drift(*x, progress)
            )[0]

        return jax.grad(loss)(params)

    return gradient_of


def check_batch(batch, names):
    """Raise ValueError unless a batch has all fields."""
    missing = [name for name in names if name not in batch]
    if missing:
        raise ValueError(
            f"batch: {', '.join(missing)} missing; an objective reads {', '.join(names)}"
        )


def check_policy(policy, action, shape):
    """Raise ValueError unless a policy and actions fit each other, and samples of the given shape."""
    mean = policy[0] if isinstance(policy, tuple) else policy
    if mean.shape[:-1] != shape:
        raise ValueError(
            f"the policy has shape {mean.shape}, which does not fit samples of shape {shape}"
        )
    wanted = mean.shape if isinstance(policy, tuple) else shape
    if jnp.shape(action) != wanted:
        raise ValueError(
            f"batch: action has shape {jnp.shape(action)}; with this policy it must be {wanted}"
        )
    if not isinstance(policy, tuple) and not jnp.issubdtype(jnp.asarray(action).dtype, jnp.integer):
        raise ValueError(
            "batch: action is not of an integer type; with a policy of logits it holds numbers of actions"
        )


def refuse_wrappers():
    """Raise ValueError inside a transform that looks at gradients before the objective has added its own.

    Such transforms would not see the objective's gradient: they would drop all but the last of accumulated batches, and
    let its NaNs pass.
    """
    frame = sys._getframe()
    while frame is not None:
        name = frame.f_code.co_qualname.split(".")[0]
        guards = name in (
            "MultiSteps",
            "apply_if_finite",
            "conditionally_transform",
            "conditionally_mask",
        )
        if guards and frame.f_globals.get("__name__", "").startswith("optax"):
            raise ValueError(
                f"optax.{name} around an objective does not see the objective's gradient: put it behind, as in "
                f"optax.chain(objective, optax.{name}(optimizer, ...)); steps_per_update then counts every batch"
            )
        frame = frame.f_back


def number(name, value, low=-math.inf, high=math.inf):
    """Return a number that a transform is given; raise ValueError unless it is real, finite, and in [low, high).

    A traced value is known to be a number only when the transform runs.
    """
    if isinstance(value, (int, float, np.number, np.ndarray, jax.Array)) and not isinstance(
        value, bool
    ):
        kind = jnp.asarray(value).dtype
        if jnp.ndim(value):
            raise ValueError(f"{name} has shape {jnp.shape(value)}; it must be one number")
        if not (jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer)):
            raise ValueError(f"{name} is of type {kind}; it must be a number")
        if jnp.issubdtype(kind, jnp.floating) and jnp.finfo(kind).bits < 32:
            raise ValueError(
                f"{name} comes in {kind}, which would round it; give float32 or wider "
                "(optax.inject_hyperparams(..., hyperparam_dtype=jnp.float32))"
            )
        if not isinstance(value, Tracer) and not (math.isfinite(value) and low <= value < high):
            bounds = [f"at least {low:g}"] * (low > -math.inf) + [f"below {high:g}"] * (
                high < math.inf
            )
            raise ValueError(
                f"{name} is {float(value):g}; it must be {' and '.join(bounds) or 'finite'}"
            )
        return value
    if callable(value):
        raise ValueError(
            f"{name} is a function; only learning_rate may be one (others: optax.inject_hyperparams)"
        )
    raise ValueError(f"{name} is {value!r}; it must be a number")


class ObjectiveState(NamedTuple):
    """Gradient steps done."""

    count: jax.Array


def adding(gradient_of, total_updates, steps_per_update):
    """Return the transform that adds ``gradient_of(params, batch, progress, total)`` to the updates it is given.

    Args:
        gradient_of: gradient of the objective, to be descended.
        total_updates: N, updates of the lifetime, each from one rollout.
        steps_per_update: gradient steps that one rollout serves.
    """
    number("total_updates", total_updates, 1)
    number("steps_per_update", steps_per_update, 1)

    def init(params):
        refuse_wrappers()
        return ObjectiveState(jnp.zeros([], jnp.int32))

    def update(updates, state, params=None, *, batch, **_):
        if params is None:
            raise ValueError(
                "an objective reads the parameters: call update(updates, state, params, batch=batch)"
            )
        done = jnp.floor(state.count.astype(jnp.float32) / steps_per_update)
        progress = jnp.minimum(done / total_updates, 1.0)
        gradients = gradient_of(params, batch, progress, jnp.float32(total_updates))
        added = jax.tree.map(lambda u, g: u + g.astype(u.dtype), updates, gradients)
        return added, ObjectiveState(jnp.asarray(optax.safe_increment(state.count)))

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]
