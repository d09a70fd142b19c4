"""The zoo: networks by name.

A family is a file; a network is a function without required arguments, registered in `NETWORKS` under its own name.
What `network(name)` returns is built once per process.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import cache

from hwmodels.errors import ModelError
from hwmodels.network import Network
from hwmodels.networks.alexnet import alexnet
from hwmodels.networks.branchy import branchy_alexnet
from hwmodels.networks.d2go import d2go_faster_rcnn
from hwmodels.networks.ed_tcn import ed_tcn
from hwmodels.networks.fbnet import fbnet_c
from hwmodels.networks.hand import hand_graph_cnn
from hwmodels.networks.hrvit import hrvit_b1
from hwmodels.networks.inception import inception_v3
from hwmodels.networks.midas import midas_small
from hwmodels.networks.mobilenet import mobilenet_v1, mobilenet_v2
from hwmodels.networks.ncf import ncf
from hwmodels.networks.plane_rcnn import plane_rcnn
from hwmodels.networks.recurrent import gnmt, lstm
from hwmodels.networks.res8 import res8
from hwmodels.networks.resnet import resnet18, resnet50, resnext50
from hwmodels.networks.rgbd import rgbd_200
from hwmodels.networks.ritnet import ritnet
from hwmodels.networks.speech import emformer
from hwmodels.networks.ssd import ssd_resnet18, ssd_resnet34
from hwmodels.networks.transformers import bert_base, bert_large, gpt2, vit_b_16
from hwmodels.networks.vgg import vgg16

__all__ = ["NETWORKS", "network"]

NETWORKS: dict[str, Callable[..., Network]] = {
    build.__name__: build
    for build in (
        alexnet, bert_base, bert_large, branchy_alexnet, d2go_faster_rcnn, ed_tcn, emformer, fbnet_c, gnmt, gpt2,
        hand_graph_cnn, hrvit_b1,
        inception_v3, lstm, midas_small, mobilenet_v1, mobilenet_v2, ncf, plane_rcnn, res8, resnet18, resnet50,
        resnext50,
        rgbd_200, ritnet, ssd_resnet18, ssd_resnet34, vgg16, vit_b_16,
    )
}


@cache
def network(name: str) -> Network:
    """The zoo network called `name`.

    Raises
    ------
    ModelError : no network has this name.
    """
    if name not in NETWORKS:
        close = get_close_matches(str(name), NETWORKS, n=1)
        raise ModelError("network", f"one of {', '.join(NETWORKS)}", name,
                         f"did you mean '{close[0]}'?" if close else "")
    return NETWORKS[name]()
