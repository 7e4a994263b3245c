from http import HTTPStatus
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.conferencecall import Conferencecall
from ...models.failure import Failure
from ...types import Response


def _get_kwargs(
    conferencecall_id: UUID,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1.0/conferencecalls/{conferencecall_id}".format(
            conferencecall_id=quote(str(conferencecall_id), safe=""),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Conferencecall | Failure | None:
    if response.status_code == 200:
        response_200 = Conferencecall.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = Failure.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = Failure.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Failure.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Failure.from_dict(response.json())

        return response_404

    if response.status_code == 429:
        response_429 = Failure.from_dict(response.json())

        return response_429

    if response.status_code == 500:
        response_500 = Failure.from_dict(response.json())

        return response_500

    if response.status_code == 503:
        response_503 = Failure.from_dict(response.json())

        return response_503

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Conferencecall | Failure]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    conferencecall_id: UUID,
    *,
    client: AuthenticatedClient,
) -> Response[Conferencecall | Failure]:
    """Read a conferencecall

    Args:
        conferencecall_id (UUID):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Conferencecall | Failure]
    """

    kwargs = _get_kwargs(
        conferencecall_id=conferencecall_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    conferencecall_id: UUID,
    *,
    client: AuthenticatedClient,
) -> Conferencecall | Failure | None:
    """Read a conferencecall

    Args:
        conferencecall_id (UUID):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Conferencecall | Failure
    """

    return sync_detailed(
        conferencecall_id=conferencecall_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    conferencecall_id: UUID,
    *,
    client: AuthenticatedClient,
) -> Response[Conferencecall | Failure]:
    """Read a conferencecall

    Args:
        conferencecall_id (UUID):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Conferencecall | Failure]
    """

    kwargs = _get_kwargs(
        conferencecall_id=conferencecall_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    conferencecall_id: UUID,
    *,
    client: AuthenticatedClient,
) -> Conferencecall | Failure | None:
    """Read a conferencecall

    Args:
        conferencecall_id (UUID):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Conferencecall | Failure
    """

    return (
        await asyncio_detailed(
            conferencecall_id=conferencecall_id,
            client=client,
        )
    ).parsed
